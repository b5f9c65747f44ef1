/// A string as templates see it: code points, by which they count, cut and compare.
typealias JinjaText = [Unicode.Scalar]

extension Array where Element == Unicode.Scalar {
  init(_ string: String) { self = Array(string.unicodeScalars) }

  var string: String {
    var view = String.UnicodeScalarView()
    view.append(contentsOf: self)
    return String(view)
  }

  // MARK: Searching

  func has(_ part: JinjaText, at place: Int) -> Bool {
    place >= 0 && place + part.count <= count && self[place..<place + part.count].elementsEqual(part)
  }

  /// The first place of a part at or after `start`.
  func find(_ part: JinjaText, from start: Int = 0) -> Int? {
    guard let first = part.first else { return start <= count ? start : nil }
    var place = start
    while place + part.count <= count {
      if self[place] == first, has(part, at: place) { return place }
      place += 1
    }
    return nil
  }

  func findLast(_ part: JinjaText) -> Int? {
    guard part.count <= count else { return nil }
    return stride(from: count - part.count, through: 0, by: -1).first { has(part, at: $0) }
  }

  /// How often a part is there, without overlaps; an empty one stands between all characters.
  func occurrences(of part: JinjaText) -> Int {
    guard !part.isEmpty else { return count + 1 }
    var (found, start) = (0, 0)
    while let place = find(part, from: start) {
      found += 1
      start = place + part.count
    }
    return found
  }

  // MARK: Changing

  func stripped(_ characters: JinjaText? = nil, left: Bool = true, right: Bool = true) -> JinjaText {
    func goes(_ scalar: Unicode.Scalar) -> Bool { characters?.contains(scalar) ?? scalar.isSpace }
    var (start, end) = (0, count)
    if left { while start < end, goes(self[start]) { start += 1 } }
    if right { while end > start, goes(self[end - 1]) { end -= 1 } }
    return Array(self[start..<end])
  }

  /// - Parameter limit: replacements at most; nil: all.
  func replacing(_ old: JinjaText, with new: JinjaText, limit: Int?) -> JinjaText {
    var result: JinjaText = []
    var (start, left) = (0, limit ?? .max)
    if old.isEmpty {
      for scalar in self {
        if left > 0 { result += new }
        left -= 1
        result.append(scalar)
      }
      return left > 0 ? result + new : result
    }
    while left > 0, let place = find(old, from: start) {
      result += self[start..<place]
      result += new
      start = place + old.count
      left -= 1
    }
    return result + self[start...]
  }

  /// Pieces between separators; without one, between runs of whitespace.
  func split(by separator: JinjaText?, limit: Int?) -> [JinjaText] {
    var pieces: [JinjaText] = []
    var (start, left) = (0, limit ?? .max)
    guard let separator else {
      while true {
        while start < count, self[start].isSpace { start += 1 }
        guard start < count else { return pieces }
        if left <= 0 { return pieces + [Array(self[start...])] }
        var end = start
        while end < count, !self[end].isSpace { end += 1 }
        pieces.append(Array(self[start..<end]))
        start = end
        left -= 1
      }
    }
    while left > 0, let place = find(separator, from: start) {
      pieces.append(Array(self[start..<place]))
      start = place + separator.count
      left -= 1
    }
    return pieces + [Array(self[start...])]
  }

  var lines: [JinjaText] {
    var lines: [JinjaText] = []
    var (start, place) = (0, 0)
    while place < count {
      let isEnd = self[place].isLineEnd
      place += 1
      guard isEnd else { continue }
      lines.append(Array(self[start..<place - 1]))
      if self[place - 1] == "\r", place < count, self[place] == "\n" { place += 1 }
      start = place
    }
    if start < count { lines.append(Array(self[start...])) }
    return lines
  }

  // MARK: Case

  var uppercased: JinjaText { flatMap { Array($0.properties.uppercaseMapping) } }
  var lowercased: JinjaText { flatMap { Array($0.properties.lowercaseMapping) } }

  var capitalized: JinjaText {
    guard let first else { return [] }
    return Array(first.properties.titlecaseMapping) + Array(dropFirst()).lowercased
  }

  /// Words begin where a letter follows what is none.
  var titled: JinjaText {
    var isInWord = false
    return flatMap { scalar -> JinjaText in
      defer { isInWord = scalar.properties.isCased }
      let mapped = isInWord ? scalar.properties.lowercaseMapping : scalar.properties.titlecaseMapping
      return Array(mapped)
    }
  }

  /// Words begin behind whitespace, hyphens and opening brackets: the `title` filter.
  var titledByFilter: JinjaText {
    var isInWord = false
    return flatMap { scalar -> JinjaText in
      let separates = scalar.isSpace || "-({[<".unicodeScalars.contains(scalar)
      defer { isInWord = !separates }
      if separates { return [scalar] }
      return Array(isInWord ? scalar.properties.lowercaseMapping : scalar.properties.uppercaseMapping)
    }
  }
}

extension Unicode.Scalar {
  var isSpace: Bool { properties.isWhitespace || (0x1C...0x1F).contains(value) }

  var isLineEnd: Bool {
    (0x0A...0x0D).contains(value) || (0x1C...0x1E).contains(value) || [0x85, 0x2028, 0x2029].contains(value)
  }

  var isLetter: Bool {
    switch properties.generalCategory {
    case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter: true
    default: false
    }
  }

  var isDigit: Bool { properties.numericType == .decimal || properties.numericType == .digit }
  var isAlphanumeric: Bool { isLetter || properties.numericType != nil }
  var isWordCharacter: Bool { isAlphanumeric || self == "_" }
  var asciiDigit: Int? { (0x30...0x39).contains(value) ? Int(value) - 0x30 : nil }
}
