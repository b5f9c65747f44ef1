/// BERT's cleaning of text: control characters go, Chinese characters get spaces around them, accents go, and capitals.
///
/// Devlin et al., "BERT", arXiv:1810.04805; the steps and their order are those of Hugging Face's BertNormalizer.
struct BertNormalizer: Sendable, Equatable {
  var cleansText = true
  var separatesChinese = true
  var stripsAccents = true
  var lowercases = true

  func normalized(_ text: UnsafeRawBufferPointer) -> [UInt8] {
    var rewriter = BertRewriter(self, capacity: text.count + text.count / 8)
    var place = 0
    while place < text.count {
      let byte = text[place]
      if byte < 0x80 {
        rewriter.append(ascii: byte)
        place += 1
      } else {
        let (scalar, width) = decodedScalar(in: text, at: place)
        rewriter.append(scalar)
        place += width
      }
    }
    return rewriter.finish()
  }
}

/// Writes the normalized text, character by character.
private struct BertRewriter {
  private let options: BertNormalizer
  private var bytes: [UInt8] = []
  /// Characters of decomposed text that may yet change places, with their combining classes.
  private var waiting: [(order: UInt8, scalar: UInt32)] = []

  init(_ options: BertNormalizer, capacity: Int) {
    self.options = options
    bytes.reserveCapacity(capacity)
  }

  mutating func finish() -> [UInt8] {
    release()
    return bytes
  }

  mutating func append(ascii byte: UInt8) {
    if !waiting.isEmpty { release() }
    if byte < 0x20 || byte == 0x7F, options.cleansText {
      // Tabs and line ends are whitespace; the other controls go.
      if byte == 0x09 || byte == 0x0A || byte == 0x0D { bytes.append(0x20) }
    } else {
      bytes.append(options.lowercases && byte &- UInt8(ascii: "A") < 26 ? byte | 0x20 : byte)
    }
  }

  mutating func append(_ scalar: UInt32) {
    let character = BertCharacters.shared[scalar]
    if options.cleansText {
      if character.contains(.other) || scalar == 0xFFFD { return }
      if character.contains(.space) { return append(ascii: 0x20) }
    }
    let stands = options.separatesChinese && character.contains(.chinese)
    if stands { append(ascii: 0x20) }
    if !options.stripsAccents {
      appendLowercase(scalar, character)
    } else if (0xAC00...0xD7A3).contains(scalar) {
      appendHangul(scalar - 0xAC00)
    } else if character.contains(.decomposes) {
      for part in BertCharacters.shared.decomposition(of: scalar) {
        appendInOrder(part.value, BertCharacters.shared[part.value])
      }
    } else {
      appendInOrder(scalar, character)
    }
    if stands { append(ascii: 0x20) }
  }

  /// The letters of a syllable (The Unicode Standard, section 3.12).
  private mutating func appendHangul(_ index: UInt32) {
    appendInOrder(0x1100 + index / 588, [])
    appendInOrder(0x1161 + index % 588 / 28, [])
    if index % 28 > 0 { appendInOrder(0x11A7 + index % 28, []) }
  }

  /// A character of decomposed text: accents are left out, what combines otherwise waits for its place.
  private mutating func appendInOrder(_ scalar: UInt32, _ character: BertCharacter) {
    if character.contains(.mark) { return }
    if character.contains(.combining) {
      let order = Unicode.Scalar(scalar)?.properties.canonicalCombiningClass.rawValue ?? 0
      waiting.append((order, scalar))
      return
    }
    if !waiting.isEmpty { release() }
    appendLowercase(scalar, character)
  }

  private mutating func release() {
    // Those of one class keep their order.
    let places = waiting.indices.sorted { (waiting[$0].order, $0) < (waiting[$1].order, $1) }
    for place in places { appendLowercase(waiting[place].scalar, BertCharacters.shared[waiting[place].scalar]) }
    waiting.removeAll(keepingCapacity: true)
  }

  private mutating func appendLowercase(_ scalar: UInt32, _ character: BertCharacter) {
    if options.lowercases, character.contains(.hasLowercase) {
      bytes += BertCharacters.shared.lowercase(of: scalar)
    } else if let scalar = Unicode.Scalar(scalar), let encoded = UTF8.encode(scalar) {
      bytes += encoded
    }
  }
}

/// The character at a place of well-formed UTF-8; a byte that is none counts as U+FFFD.
@inline(__always)
func decodedScalar(in text: UnsafeRawBufferPointer, at place: Int) -> (scalar: UInt32, width: Int) {
  let lead = text[place]
  if lead < 0x80 { return (UInt32(lead), 1) }
  let width = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2
  guard lead >= 0xC2, place + width <= text.count else { return (0xFFFD, 1) }
  var scalar = UInt32(lead) & (0xFF >> UInt32(width + 1))
  for offset in 1..<width { scalar = scalar << 6 | UInt32(text[place + offset] & 0x3F) }
  return (scalar, width)
}
