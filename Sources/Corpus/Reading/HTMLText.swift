/// The text of an HTML page: paragraphs and headings apart, list items with a dash; without scripts, styles, forms and
/// navigation.
///
/// Pages are rarely well-formed. Tags are taken as they come; an element that is dropped is dropped as a whole only where
/// its end is found.
struct HTMLText {
  /// - Parameter html: in UTF-8.
  static func extract(_ html: [UInt8]) -> [UInt8] {
    html.withUnsafeBufferPointer { bytes in
      var text = HTMLText(bytes)
      text.read()
      return text.finished()
    }
  }

  private let bytes: UnsafeBufferPointer<UInt8>
  private var place = 0
  private var output: [UInt8] = []
  /// Line ends to write before the next character.
  private var breaks = 0
  private var space = false
  private var preformatted = 0
  private var articles = 0
  /// Places behind which no end of an element is found, by its name.
  private var hasNoEnd: [String: Int] = [:]

  private init(_ bytes: UnsafeBufferPointer<UInt8>) {
    self.bytes = bytes
    output.reserveCapacity(bytes.count / 2)
  }

  private mutating func read() {
    while place < bytes.count {
      let byte = bytes[place]
      if byte == UInt8(ascii: "<"), readMarkup() { continue }
      if byte == UInt8(ascii: "&"), let (scalar, end) = HTMLEntities.decode(bytes, at: place + 1) {
        // A space that doesn't break is a space.
        if scalar == "\u{A0}" {
          add(UInt8(ascii: " "))
        } else {
          UTF8.encode(scalar).map { for byte in $0 { add(byte) } }
        }
        place = end
        continue
      }
      add(byte)
      place += 1
    }
  }

  private mutating func finished() -> [UInt8] {
    trimLine()
    if !output.isEmpty { output.append(UInt8(ascii: "\n")) }
    return output
  }

  // MARK: Text

  private mutating func add(_ byte: UInt8) {
    switch byte {
    case 0x09, 0x0A, 0x0C, 0x0D, 0x20:
      let isBreak = byte == 0x0A || byte == 0x0C || byte == 0x0D
      if preformatted == 0 {
        space = true
      } else if breaks == 0 || !isBreak {
        writeBreaks()
        output.append(isBreak ? 0x0A : byte)
      }
    default:
      if breaks > 0 {
        writeBreaks()
      } else if space, let last = output.last, last != 0x0A {
        output.append(0x20)
      }
      space = false
      output.append(byte)
    }
  }

  private mutating func writeBreaks() {
    guard breaks > 0 else { return }
    trimLine()
    if !output.isEmpty { output.append(contentsOf: repeatElement(0x0A, count: breaks)) }
    breaks = 0
    space = false
  }

  private mutating func trimLine() {
    while let last = output.last, last == 0x20 || last == 0x09 || last == 0x0A { output.removeLast() }
  }

  // MARK: Tags

  /// Reads a tag, a comment or a declaration; false where the < is only a character.
  private mutating func readMarkup() -> Bool {
    guard place + 1 < bytes.count else { return false }
    switch bytes[place + 1] {
    case UInt8(ascii: "!"):
      if bytes.has("<!--", at: place) {
        place = find("-->", from: place + 4).map { $0 + 3 } ?? bytes.count
      } else if bytes.has("<![CDATA[", at: place) {
        place += 9
      } else {
        place = find(">", from: place).map { $0 + 1 } ?? bytes.count
      }
      return true
    case UInt8(ascii: "?"):
      place = find(">", from: place).map { $0 + 1 } ?? bytes.count
      return true
    case UInt8(ascii: "/"):
      guard let tag = Tag(bytes, at: place + 2) else { return false }
      close(tag.name)
      place = tag.end
      return true
    default:
      guard let tag = Tag(bytes, at: place + 1) else { return false }
      place = tag.end
      if isDropped(tag), let end = end(of: tag.name, from: tag.end) {
        place = end
        breakLines(1)
      } else {
        open(tag.name)
      }
      return true
    }
  }

  private mutating func open(_ name: String) {
    if Self.paragraphs.contains(name) {
      breakLines(2)
    } else if Self.lines.contains(name) {
      breakLines(1)
    }
    switch name {
    case "pre", "textarea": preformatted += 1
    case "article", "main": articles += 1
    case "li":
      for byte in "- ".utf8 { add(byte) }
    case "td", "th": space = true
    default: break
    }
  }

  private mutating func close(_ name: String) {
    if Self.paragraphs.contains(name) {
      breakLines(2)
    } else if Self.lines.contains(name), name != "br" {
      breakLines(1)
    }
    switch name {
    case "pre", "textarea": preformatted = max(0, preformatted - 1)
    case "article", "main": articles = max(0, articles - 1)
    default: break
    }
  }

  private mutating func breakLines(_ count: Int) {
    breaks = max(breaks, count)
    space = false
  }

  /// What is no part of the text that a page is there for.
  private func isDropped(_ tag: Tag) -> Bool {
    if Self.dropped.contains(tag.name) { return true }
    // The head of an article has its title, that of a page its menu.
    if tag.name == "header", articles == 0 { return true }
    guard Self.mayHide.contains(tag.name) else { return false }
    if let role = tag.attribute("role"), Self.droppedRoles.contains(role.lowercased()) { return true }
    return tag.attribute("hidden") != nil || tag.attribute("aria-hidden") == "true"
  }

  /// Where an element ends, elements of its name within it counted; nil where it doesn't.
  private mutating func end(of name: String, from start: Int) -> Int? {
    if let known = hasNoEnd[name], start >= known { return nil }
    let isRaw = Self.raw.contains(name)
    var depth = 1
    var from = start
    var hasComments = true
    while let open = find("<", from: from) {
      from = open + 1
      guard from < bytes.count else { break }
      if bytes[from] == UInt8(ascii: "/"), let tag = Tag(bytes, at: from + 1), tag.name == name {
        depth -= 1
        if depth == 0 || isRaw { return tag.end }
      } else if !isRaw, let tag = Tag(bytes, at: from), tag.name == name {
        depth += 1
      } else if !isRaw, hasComments, bytes.has("<!--", at: open) {
        let end = find("-->", from: open + 4)
        hasComments = end != nil
        from = end ?? from
      }
    }
    hasNoEnd[name] = start
    // The text of scripts is never text.
    return isRaw ? bytes.count : nil
  }

  // MARK: Bytes

  private func find(_ text: StaticString, from start: Int) -> Int? {
    var place = start
    while place + text.utf8CodeUnitCount <= bytes.count {
      guard let first = bytes[place...].firstIndex(of: text.utf8Start[0]) else { return nil }
      if bytes.has(text, at: first) { return first }
      place = first + 1
    }
    return nil
  }

  // MARK: Elements

  private static let raw: Set<String> = ["script", "style", "iframe", "noembed", "noframes", "template"]
  private static let dropped = raw.union([
    "head", "nav", "aside", "footer", "form", "button", "select", "svg", "canvas", "object", "audio", "video",
    "noscript",
    "dialog", "menu",
  ])
  /// Which may be hidden, or be navigation by their role; not what stands around a whole page.
  private static let mayHide: Set<String> = ["div", "section", "ul", "ol", "span", "p", "table", "header", "a"]
  private static let droppedRoles: Set<String> = [
    "navigation", "banner", "contentinfo", "search", "complementary", "menu", "dialog",
  ]
  private static let paragraphs: Set<String> = [
    "p", "h1", "h2", "h3", "h4", "h5", "h6", "blockquote", "pre", "ul", "ol", "dl", "table", "figure", "section",
    "article", "main",
    "header", "hr", "details",
  ]
  private static let lines: Set<String> = [
    "div", "li", "tr", "dt", "dd", "br", "address", "figcaption", "caption", "summary", "body", "html", "center",
    "fieldset",
  ]
}

/// A tag: the lower-case name, where its attributes stand, and where it ends.
private struct Tag {
  let name: String
  /// Behind the >.
  let end: Int
  private let bytes: UnsafeBufferPointer<UInt8>
  private let attributes: Range<Int>

  /// - Parameter place: of the name; nil where none begins.
  init?(_ bytes: UnsafeBufferPointer<UInt8>, at place: Int) {
    self.bytes = bytes
    guard place < bytes.count, (0x61...0x7A).contains(bytes[place] | 0x20) else { return nil }
    var index = place
    var name: [UInt8] = []
    while index < bytes.count, !Self.isSpace(bytes[index]), bytes[index] != UInt8(ascii: ">"),
      bytes[index] != UInt8(ascii: "/")
    {
      // A longer name is none that is known.
      if name.count < 16 { name.append((0x41...0x5A).contains(bytes[index]) ? bytes[index] | 0x20 : bytes[index]) }
      index += 1
    }
    self.name = String(decoding: name, as: UTF8.self)
    let start = index
    // A > within quotes, which stand behind an =, doesn't end the tag.
    var quote: UInt8?
    var last: UInt8 = 0
    while index < bytes.count {
      let byte = bytes[index]
      if let open = quote {
        if byte == open { quote = nil }
      } else if byte == UInt8(ascii: ">") {
        break
      } else if (byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "'")) && last == UInt8(ascii: "=") {
        quote = byte
      }
      if !Self.isSpace(byte) { last = byte }
      index += 1
    }
    // A quote that never closes is none.
    if index == bytes.count, quote != nil {
      index = bytes[start...].firstIndex(of: UInt8(ascii: ">")) ?? bytes.count
    }
    attributes = start..<index
    end = min(index + 1, bytes.count)
  }

  /// The value of an attribute: "" for one without; nil where it isn't there.
  func attribute(_ name: String) -> String? {
    let wanted = Array(name.utf8)
    var place = attributes.lowerBound
    while place < attributes.upperBound {
      while place < attributes.upperBound, Self.isSpace(bytes[place]) || bytes[place] == UInt8(ascii: "/") {
        place += 1
      }
      let start = place
      while place < attributes.upperBound, !Self.isSpace(bytes[place]), bytes[place] != UInt8(ascii: "=") { place += 1 }
      let found = bytes[start..<place].map { $0 | 0x20 }
      while place < attributes.upperBound, Self.isSpace(bytes[place]) { place += 1 }
      var value = place..<place
      if place < attributes.upperBound, bytes[place] == UInt8(ascii: "=") {
        place += 1
        while place < attributes.upperBound, Self.isSpace(bytes[place]) { place += 1 }
        if place < attributes.upperBound, bytes[place] == UInt8(ascii: "\"") || bytes[place] == UInt8(ascii: "'") {
          let end = bytes[(place + 1)..<attributes.upperBound].firstIndex(of: bytes[place]) ?? attributes.upperBound
          value = place + 1..<end
          place = min(end + 1, attributes.upperBound)
        } else {
          let first = place
          while place < attributes.upperBound, !Self.isSpace(bytes[place]) { place += 1 }
          value = first..<place
        }
      }
      if found == wanted { return String(decoding: bytes[value], as: UTF8.self) }
      if place == start { place += 1 }
    }
    return nil
  }

  private static func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || (0x09...0x0D).contains(byte) }
}
