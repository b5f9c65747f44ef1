extension RandomAccessCollection<UInt8> where Index == Int {
  /// Whether a text stands at a place.
  @inline(__always)
  func has(_ text: StaticString, at place: Int) -> Bool {
    guard text.utf8CodeUnitCount <= endIndex - place else { return false }
    for offset in 0..<text.utf8CodeUnitCount where self[place + offset] != text.utf8Start[offset] { return false }
    return true
  }

  /// The start of a text of UTF-8, cut between characters.
  func excerpt(bytes: Int) -> String {
    guard count > bytes else { return String(decoding: self, as: UTF8.self) }
    var end = startIndex + bytes
    while end > startIndex, self[end] & 0xC0 == 0x80 { end -= 1 }
    return String(decoding: self[..<end], as: UTF8.self) + "…"
  }
}
