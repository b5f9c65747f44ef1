import Foundation

/// What BERT's normalizer and pre-tokenizer ask about characters.
struct BertCharacter: OptionSet, Hashable, Sendable {
  let rawValue: UInt8

  /// A control or format character, or one of private use.
  static let other = BertCharacter(rawValue: 1)
  static let space = BertCharacter(rawValue: 2)
  /// A nonspacing mark: an accent.
  static let mark = BertCharacter(rawValue: 4)
  static let punctuation = BertCharacter(rawValue: 8)
  /// Its combining class is not 0: it changes places with its neighbours in decomposed text.
  static let combining = BertCharacter(rawValue: 16)
  static let decomposes = BertCharacter(rawValue: 32)
  static let hasLowercase = BertCharacter(rawValue: 64)
  static let chinese = BertCharacter(rawValue: 128)
}

/// The answers for all scalars in two stages, as Hugging Face's tokenizers (0.20–0.23) give them: 256-scalar blocks, and
/// the distinct contents of blocks.
///
/// Built when the first character beyond ASCII is met (some 60 ms), and kept for the life of the process.
struct BertCharacters: Sendable {
  static let shared = BertCharacters()

  private let blocks: [UInt16]
  private let contents: [BertCharacter]
  private let decompositions: [UInt32: [Unicode.Scalar]]
  private let lowercase: [UInt32: [UInt8]]

  /// Beyond this scalar none decomposes or has a lowercase form in these versions of Unicode.
  private static let limit: UInt32 = 0x2FB00

  /// Hugging Face asks a table of Unicode 8 for categories and one of Unicode 9 for decompositions.
  private static let categoryVersion = 8
  private static let decompositionVersion = 9
  /// Where Unicode has since changed the category of a character.
  private static let notMarks: Set<UInt32> = [0x1885, 0x1886, 0xA9BD, 0x111C9]
  private static let marks: Set<UInt32> = [0x1734, 0x1171E]
  private static let punctuation: Set<UInt32> = [0x166D, 0x111C9]

  private init() {
    var blocks: [UInt16] = []
    var distinct: [[BertCharacter]: UInt16] = [:]
    var all: [BertCharacter] = []
    var decompositions: [UInt32: [Unicode.Scalar]] = [:]
    var lowercase: [UInt32: [UInt8]] = [:]
    for block in 0..<Self.limit / 256 {
      let content = (block * 256..<block * 256 + 256).map { value -> BertCharacter in
        guard let scalar = Unicode.Scalar(value) else { return [] }
        var character = Self.classify(scalar)
        if let parts = Self.decomposition(scalar) {
          decompositions[value] = parts
          character.insert(.decomposes)
        }
        let mapping = Array(scalar.properties.lowercaseMapping.utf8)
        if mapping != Array(String(scalar).utf8) {
          lowercase[value] = mapping
          character.insert(.hasLowercase)
        }
        return character
      }
      let index = distinct[content] ?? UInt16(distinct.count)
      if Int(index) == distinct.count {
        distinct[content] = index
        all += content
      }
      blocks.append(index)
    }
    (self.blocks, contents, self.decompositions, self.lowercase) = (blocks, all, decompositions, lowercase)
  }

  subscript(scalar: UInt32) -> BertCharacter {
    guard scalar < Self.limit else { return Unicode.Scalar(scalar).map(Self.classify) ?? [] }
    return contents[Int(blocks[Int(scalar >> 8)]) << 8 | Int(scalar & 255)]
  }

  /// The canonical decomposition of a character that has one; Hangul is decomposed by arithmetic instead.
  func decomposition(of scalar: UInt32) -> [Unicode.Scalar] { decompositions[scalar] ?? [] }

  /// The lowercase form of a character that has one, in UTF-8; the characters around it don't matter.
  func lowercase(of scalar: UInt32) -> [UInt8] { lowercase[scalar] ?? [] }

  private static func classify(_ scalar: Unicode.Scalar) -> BertCharacter {
    let (value, properties) = (scalar.value, scalar.properties)
    var character: BertCharacter = properties.isWhitespace ? .space : []
    if isChinese(value) { character.insert(.chinese) }
    guard let age = properties.age else { return character }
    if age.major <= decompositionVersion, properties.canonicalCombiningClass != .notReordered {
      character.insert(.combining)
    }
    guard age.major <= categoryVersion else { return character }
    switch properties.generalCategory {
    case .control, .format, .privateUse:
      character.insert(.other)
    case .nonspacingMark where !notMarks.contains(value):
      character.insert(.mark)
    case .connectorPunctuation, .dashPunctuation, .openPunctuation, .closePunctuation, .initialPunctuation,
      .finalPunctuation, .otherPunctuation:
      character.insert(.punctuation)
    default:
      // All that ASCII prints beside letters, digits and the space counts, symbols as $ and + too.
      if value > 0x20, value < 0x7F, asciiClass(UInt8(value)) == .other { character.insert(.punctuation) }
    }
    if marks.contains(value) { character.insert(.mark) }
    if punctuation.contains(value) { character.insert(.punctuation) }
    return character
  }

  /// The ideographs that BERT takes for words, by their blocks.
  private static func isChinese(_ value: UInt32) -> Bool {
    switch value {
    case 0x4E00...0x9FFF, 0x3400...0x4DBF, 0x20000...0x2A6DF, 0x2A700...0x2B73F, 0x2B740...0x2B81F, 0x2B920...0x2CEAF,
      0xF900...0xFAFF, 0x2F800...0x2FA1F:
      true
    default: false
    }
  }

  private static func decomposition(_ scalar: Unicode.Scalar) -> [Unicode.Scalar]? {
    switch scalar.value {
    case 0..<0xC0, 0x3400...0x9FFF, 0xAC00...0xD7A3, 0xE000...0xF8FF, 0x20000..<0x2F800: return nil
    default: break
    }
    guard let age = scalar.properties.age, age.major <= decompositionVersion else { return nil }
    let parts = Array(String(scalar).decomposedStringWithCanonicalMapping.unicodeScalars)
    return parts == [scalar] ? nil : parts
  }
}
