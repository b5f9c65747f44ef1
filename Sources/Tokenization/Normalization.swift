import Foundation

/// A text in Unicode's canonical composed form (NFC), as Hugging Face's tokenizers compose it; nil if it is so already
/// for a cheap reason: nothing below U+0300 ever changes.
///
/// Swift's composition does the work, between the characters that it must not see. These stay as they are and compose
/// with nothing around them, so that the text on either side can be composed alone.
package func normalizedToNFC(_ text: UnsafeRawBufferPointer) -> [UInt8]? {
  guard text.contains(where: { $0 >= 0xCC }) else { return nil }
  var composed: [Unicode.Scalar] = []
  var pending = String.UnicodeScalarView()
  for scalar in String(decoding: text, as: UTF8.self).unicodeScalars {
    guard standsAlone(scalar) else {
      pending.append(scalar)
      continue
    }
    composed += String(pending).precomposedStringWithCanonicalMapping.unicodeScalars
    pending.removeAll(keepingCapacity: true)
    if let last = composed.last, let syllable = hangulSyllable(last, scalar) {
      composed[composed.count - 1] = syllable
    } else {
      composed.append(scalar)
    }
  }
  composed += String(pending).precomposedStringWithCanonicalMapping.unicodeScalars

  var bytes: [UInt8] = []
  bytes.reserveCapacity(text.count)
  for scalar in composed {
    UTF8.encode(scalar).map { bytes.append(contentsOf: $0) }
  }
  return bytes
}

/// Hangul letters, because Swift 6.3 composes some that don't compose (U+1176, U+11A7, U+11C3) and leaves a syllable
/// and its final consonant apart; and what Unicode has added since version 9, whose tables Hugging Face's crate has.
private func standsAlone(_ scalar: Unicode.Scalar) -> Bool {
  switch scalar.value {
  case 0..<0x300, 0x2E80...0xA4CF, 0xAC00...0xD7A3: return false
  case 0x1100...0x11FF: return true
  default:
    guard scalar.value >= 0x10000 || scalar.properties.canonicalCombiningClass != .notReordered else { return false }
    guard let age = scalar.properties.age else { return true }
    return age.major > 9
  }
}

/// The syllable of a leading consonant and a vowel, or of a syllable without a final consonant and that consonant
/// (The Unicode Standard, section 3.12).
private func hangulSyllable(_ first: Unicode.Scalar, _ second: Unicode.Scalar) -> Unicode.Scalar? {
  switch (first.value, second.value) {
  case (0x1100...0x1112, 0x1161...0x1175):
    Unicode.Scalar(0xAC00 + ((first.value - 0x1100) * 21 + second.value - 0x1161) * 28)
  case (0xAC00...0xD7A3, 0x11A8...0x11C2) where (first.value - 0xAC00) % 28 == 0:
    Unicode.Scalar(first.value + second.value - 0x11A7)
  default:
    nil
  }
}
