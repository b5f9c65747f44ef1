/// A piece of a template: text between tags, the marks of tags, and the words and signs in them.
struct JinjaToken: Equatable {
  enum Kind: Equatable {
    case data(JinjaText)
    case blockBegin, blockEnd, variableBegin, variableEnd
    case name(String)
    case string(JinjaText)
    case integer(Int)
    case float(Double)
    case symbol(String)
    case end
  }

  let kind: Kind
  let line: Int

  /// For messages.
  var found: String {
    switch kind {
    case .data: "text"
    case .blockBegin: "{%"
    case .blockEnd: "%}"
    case .variableBegin: "{{"
    case .variableEnd: "}}"
    case .name(let name): "'\(name)'"
    case .string: "a string"
    case .integer(let value): "\(value)"
    case .float(let value): "\(value)"
    case .symbol(let symbol): "'\(symbol)'"
    case .end: "the template's end"
    }
  }
}

/// Cuts a template into tokens as Jinja does with `trim_blocks` and `lstrip_blocks`, which chat templates are written
/// for: a line end behind a block tag goes, and so does the indentation before one.
struct JinjaLexer {
  private let source: JinjaText
  private var place = 0
  private var line = 1
  private var tokens: [JinjaToken] = []
  /// Whether nothing but what a tag has taken stands before on this line.
  private var isAtLineStart = true

  static func tokens(of template: String) throws(JinjaError) -> [JinjaToken] {
    var lexer = JinjaLexer(template)
    do {
      try lexer.readAll()
    } catch {
      throw error.at(lexer.line)
    }
    return lexer.tokens
  }

  /// All line ends become \n; the last one goes.
  private init(_ template: String) {
    var text = JinjaText(template)
    if text.contains("\r") {
      text = text.replacing(["\r", "\n"], with: ["\n"], limit: nil).replacing(["\r"], with: ["\n"], limit: nil)
    }
    if text.last == "\n" { text.removeLast() }
    source = text
  }

  private mutating func readAll() throws(JinjaError) {
    while place < source.count {
      let start = place
      guard let open = nextOpening(from: start) else {
        emitData(Array(source[start...]))
        advance(to: source.count)
        break
      }
      let mark = source[open + 1]
      let sign = open + 2 < source.count ? source[open + 2] : " "
      let hasSign = sign == "-" || sign == "+"
      emitData(text(start..<open, sign: sign, isVariable: mark == "{"))
      advance(to: open)
      let inside = open + 2 + (hasSign ? 1 : 0)
      switch mark {
      case "#":
        try skipComment(from: inside)
      case "%":
        if let body = rawBody(from: inside) {
          try readRaw(from: body)
        } else {
          try readTag(from: inside, .blockBegin, .blockEnd, close: "%")
        }
      default:
        try readTag(from: inside, .variableBegin, .variableEnd, close: "}")
      }
      isAtLineStart = source[place - 1] == "\n"
    }
    tokens.append(JinjaToken(kind: .end, line: line))
  }

  // MARK: Between tags

  private func nextOpening(from start: Int) -> Int? {
    var place = start
    while place + 1 < source.count {
      if source[place] == "{", "%#{".unicodeScalars.contains(source[place + 1]) { return place }
      place += 1
    }
    return nil
  }

  /// The text before a tag without what the tag takes.
  private func text(_ range: Range<Int>, sign: Unicode.Scalar, isVariable: Bool) -> JinjaText {
    let text = Array(source[range])
    if sign == "-" { return text.stripped(left: false) }
    if sign == "+" || isVariable { return text }
    let lineStart = (text.lastIndex(of: "\n") ?? -1) + 1
    let takesIndentation = (lineStart > 0 || isAtLineStart) && text[lineStart...].allSatisfy(\.isSpace)
    return takesIndentation ? Array(text[..<lineStart]) : text
  }

  private mutating func emitData(_ text: JinjaText) {
    if !text.isEmpty { tokens.append(JinjaToken(kind: .data(text), line: line)) }
  }

  private mutating func advance(to end: Int) {
    line += source[place..<end].lazy.filter { $0 == "\n" }.count
    place = end
  }

  /// The end of a closing mark (`%}` or `#}`) at `start` with the whitespace that it takes; nil if there is none.
  private func closingEnd(_ mark: Unicode.Scalar, at start: Int) -> Int? {
    let hasSign = start < source.count && (source[start] == "-" || source[start] == "+" && mark != "}")
    let sign = hasSign ? source[start] : " "
    let mark0 = start + (hasSign ? 1 : 0)
    guard source.has([mark, "}"], at: mark0) else { return nil }
    var end = mark0 + 2
    if sign == "-" {
      while end < source.count, source[end].isSpace { end += 1 }
    } else if sign != "+", mark != "}", end < source.count, source[end] == "\n" {
      end += 1
    }
    return end
  }

  private mutating func skipComment(from start: Int) throws(JinjaError) {
    var place = start
    while place < source.count {
      if let end = closingEnd("#", at: place) {
        advance(to: end)
        return
      }
      place += 1
    }
    throw JinjaError("a comment is never closed; expected #}")
  }

  // MARK: Raw text

  private func skippingSpace(_ start: Int) -> Int {
    var place = start
    while place < source.count, source[place].isSpace { place += 1 }
    return place
  }

  /// Where the text of a `{% raw %}` begins; nil for another tag.
  private func rawBody(from start: Int) -> Int? {
    let word = skippingSpace(start)
    guard source.has(JinjaText("raw"), at: word) else { return nil }
    let end = skippingSpace(word + 3)
    if source.has(["-", "%", "}"], at: end) { return skippingSpace(end + 3) }
    return source.has(["%", "}"], at: end) ? end + 2 : nil
  }

  private mutating func readRaw(from start: Int) throws(JinjaError) {
    advance(to: start)
    var open = start
    while let found = source.find(["{", "%"], from: open) {
      let sign = found + 2 < source.count ? source[found + 2] : " "
      let word = skippingSpace(found + 2 + (sign == "-" || sign == "+" ? 1 : 0))
      if source.has(JinjaText("endraw"), at: word), let end = closingEnd("%", at: skippingSpace(word + 6)) {
        isAtLineStart = false
        emitData(text(start..<found, sign: sign, isVariable: false))
        advance(to: end)
        return
      }
      open = found + 2
    }
    throw JinjaError("{% raw %} is never closed; expected {% endraw %}")
  }

  // MARK: In tags

  private mutating func readTag(
    from start: Int, _ begin: JinjaToken.Kind, _ end: JinjaToken.Kind, close: Unicode.Scalar
  ) throws(JinjaError) {
    tokens.append(JinjaToken(kind: begin, line: line))
    advance(to: start)
    var brackets: [Unicode.Scalar] = []
    while place < source.count {
      if brackets.isEmpty, let after = closingEnd(close, at: place) {
        tokens.append(JinjaToken(kind: end, line: line))
        advance(to: after)
        return
      }
      let scalar = source[place]
      if scalar.isSpace {
        advance(to: place + 1)
      } else if scalar.asciiDigit != nil {
        try readNumber()
      } else if scalar.isWordCharacter {
        var end = place
        while end < source.count, source[end].isWordCharacter { end += 1 }
        emit(.name(Array(source[place..<end]).string), to: end)
      } else if scalar == "'" || scalar == "\"" {
        try readString(quote: scalar)
      } else {
        try readSymbol(&brackets)
      }
    }
    throw JinjaError("a tag is never closed; expected \(close)}")
  }

  private mutating func emit(_ kind: JinjaToken.Kind, to end: Int) {
    tokens.append(JinjaToken(kind: kind, line: line))
    advance(to: end)
  }

  private mutating func readSymbol(_ brackets: inout [Unicode.Scalar]) throws(JinjaError) {
    let pairs = ["//", "**", "==", "!=", ">=", "<="]
    if let pair = pairs.first(where: { source.has(JinjaText($0), at: place) }) {
      emit(.symbol(pair), to: place + 2)
      return
    }
    let scalar = source[place]
    guard "+-/*%~[](){}><=.:|,;".unicodeScalars.contains(scalar) else {
      throw JinjaError("found the character '\(scalar)'; expected a name, a value or an operator")
    }
    switch scalar {
    case "(", "[", "{": brackets.append(scalar == "(" ? ")" : scalar == "[" ? "]" : "}")
    case ")", "]", "}":
      guard let expected = brackets.popLast() else { throw JinjaError("'\(scalar)' closes nothing") }
      guard expected == scalar else { throw JinjaError("found '\(scalar)', expected '\(expected)'") }
    default: break
    }
    emit(.symbol(String(scalar)), to: place + 1)
  }

  private func digitsEnd(_ start: Int) -> Int {
    var place = start
    while place < source.count {
      if source[place].asciiDigit != nil {
        place += 1
      } else if source[place] == "_", place > start, place + 1 < source.count, source[place + 1].asciiDigit != nil {
        place += 1
      } else {
        break
      }
    }
    return place
  }

  private mutating func readNumber() throws(JinjaError) {
    var end = digitsEnd(place)
    var isFloat = false
    let follows = place > 0 && source[place - 1] == "."
    if !follows, end + 1 < source.count, source[end] == ".", source[end + 1].asciiDigit != nil {
      end = digitsEnd(end + 1)
      isFloat = true
    }
    if !follows, end + 1 < source.count, source[end] == "e" || source[end] == "E" {
      let sign = source[end + 1] == "+" || source[end + 1] == "-" ? 1 : 0
      if end + 1 + sign < source.count, source[end + 1 + sign].asciiDigit != nil {
        end = digitsEnd(end + 1 + sign)
        isFloat = true
      }
    }
    let text = Array(source[place..<end].filter { $0 != "_" }).string
    if isFloat {
      emit(.float(Double(text) ?? .infinity), to: end)
    } else if let value = Int(text) {
      emit(.integer(value), to: end)
    } else {
      throw JinjaError("the number \(text.prefix(40)) is too large; expected at most \(Int.max)")
    }
  }

  private mutating func readString(quote: Unicode.Scalar) throws(JinjaError) {
    var text: JinjaText = []
    var end = place + 1
    while true {
      guard end < source.count else { throw JinjaError("a string is never closed; expected \(quote)") }
      let scalar = source[end]
      end += 1
      if scalar == quote { break }
      guard scalar == "\\" else {
        text.append(scalar)
        continue
      }
      guard end < source.count else { continue }
      let escape = source[end]
      end += 1
      switch escape {
      case "\n": break
      case "\\", "'", "\"": text.append(escape)
      case "a": text.append("\u{07}")
      case "b": text.append("\u{08}")
      case "f": text.append("\u{0C}")
      case "n": text.append("\n")
      case "r": text.append("\r")
      case "t": text.append("\t")
      case "v": text.append("\u{0B}")
      case "0"..."7":
        var value = escape.value - 0x30
        for _ in 0..<2 where end < source.count && ("0"..."7").contains(source[end]) {
          value = value * 8 + source[end].value - 0x30
          end += 1
        }
        Unicode.Scalar(value).map { text.append($0) }
      case "x", "u", "U":
        let width = escape == "x" ? 2 : escape == "u" ? 4 : 8
        guard end + width <= source.count,
          let value = UInt32(Array(source[end..<end + width]).string, radix: 16), let scalar = Unicode.Scalar(value)
        else { throw JinjaError("\\\(escape) in a string: expected \(width) hexadecimal digits of a character") }
        text.append(scalar)
        end += width
      case "N": throw .unsupported("\\N in a string", supported: "\\u and \\U with hexadecimal digits")
      default: text += ["\\", escape]
      }
    }
    emit(.string(text), to: end)
  }
}
