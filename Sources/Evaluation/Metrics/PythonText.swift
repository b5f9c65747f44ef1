/// What Python's `str` and `re` make of characters: the metrics' definitions are programs in Python.
///
/// Texts are scalars here, since Swift's `==` takes "é" in one scalar and in two for the same.
enum PythonText {
  /// `str.isspace()`, by which `split()` and `strip()` go: Unicode's white space and four separators of ASCII.
  static func isSpace(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.value {
    case 0x09...0x0D, 0x1C...0x20, 0x85, 0xA0, 0x1680, 0x2000...0x200A, 0x2028, 0x2029, 0x202F, 0x205F, 0x3000: true
    default: false
    }
  }

  /// `\w`: letters, numbers and the underscore, but no marks.
  static func isWord(_ scalar: Unicode.Scalar) -> Bool {
    if scalar.isASCII { return isLatinLetterOrDigit(scalar) || scalar == "_" || ("A"..."Z").contains(scalar) }
    switch scalar.properties.generalCategory {
    case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter: return true
    default: return scalar.properties.numericType != nil
    }
  }

  /// `[a-z0-9]`.
  static func isLatinLetterOrDigit(_ scalar: Unicode.Scalar) -> Bool {
    ("a"..."z").contains(scalar) || ("0"..."9").contains(scalar)
  }

  /// `str.lower()`: each scalar's full mapping, and a sigma at a word's end is ς (The Unicode Standard, table 3-17).
  static func lower(_ text: String) -> [Unicode.Scalar] {
    let scalars = Array(text.unicodeScalars)
    var lower: [Unicode.Scalar] = []
    lower.reserveCapacity(scalars.count)
    for (index, scalar) in scalars.enumerated() {
      if scalar.isASCII {
        lower.append(("A"..."Z").contains(scalar) ? Unicode.Scalar(UInt8(scalar.value) + 0x20) : scalar)
      } else if scalar == "Σ" {
        lower.append(isFinalSigma(scalars, at: index) ? "ς" : "σ")
      } else {
        lower += scalar.properties.lowercaseMapping.unicodeScalars
      }
    }
    return lower
  }

  private static func isFinalSigma(_ scalars: [Unicode.Scalar], at index: Int) -> Bool {
    func isCased(_ scalar: Unicode.Scalar?) -> Bool { scalar?.properties.isCased ?? false }
    let before = scalars[..<index].last { !$0.properties.isCaseIgnorable }
    let behind = scalars[(index + 1)...].first { !$0.properties.isCaseIgnorable }
    return isCased(before) && !isCased(behind)
  }

  /// `str.split()`: what stands between white space.
  static func split(_ text: [Unicode.Scalar]) -> [ArraySlice<Unicode.Scalar>] {
    text.split(whereSeparator: isSpace)
  }
}
