/// Keys that open accounts: by the beginnings that services give theirs, private keys in PEM, and what is called a key, a
/// token or a password and looks like one.
enum SecretKey {
  static func find(in text: UnsafeRawBufferPointer, at place: Int) -> PersonalData.Match? {
    for prefix in prefixes where text.has(prefix.text, at: place) {
      let end = tokenEnd(text, from: place)
      if end - place >= prefix.shortest { return PersonalData.Match(kind: .key, range: place..<end) }
    }
    return assigned(in: text, at: place)
  }

  /// -----BEGIN … PRIVATE KEY----- to its end.
  static func findBlock(in text: UnsafeRawBufferPointer, at place: Int) -> PersonalData.Match? {
    guard text.has("-----BEGIN ", at: place), let lineEnd = text[place...].firstIndex(of: 0x0A) else {
      return nil
    }
    guard contains(text, place..<lineEnd, "PRIVATE KEY-----") else { return nil }
    var index = lineEnd
    // No key is longer.
    while index < min(text.count, lineEnd + 16_384) {
      if text[index] == UInt8(ascii: "-"), text.has("-----END ", at: index) {
        let end = text[index...].firstIndex(of: 0x0A) ?? text.count
        return PersonalData.Match(kind: .key, range: place..<end)
      }
      index += 1
    }
    return nil
  }

  private static let prefixes: [(text: StaticString, shortest: Int)] = [
    ("AKIA", 20), ("ASIA", 20), ("ghp_", 40), ("gho_", 40), ("ghs_", 40), ("ghu_", 40), ("github_pat_", 60),
    ("glpat-", 26),
    ("sk-", 23), ("sk_live_", 24), ("rk_live_", 24), ("pk_live_", 24), ("xoxb-", 24), ("xoxp-", 24), ("xoxa-", 24),
    ("xoxr-", 24),
    ("AIza", 39), ("hf_", 34), ("npm_", 40), ("pypi-", 40), ("eyJ", 60), ("ya29.", 40), ("SG.", 50), ("LTAI", 20),
    ("AKID", 32),
  ]

  private static let names = PhraseFinder([
    "apikey", "api_key", "api-key", "secret", "token", "password", "passwd", "access_key", "accesskey", "private_key",
    "auth_key",
  ])

  /// A name such as api_key, = or :, and sixteen or more letters and digits mixed.
  private static func assigned(in text: UnsafeRawBufferPointer, at place: Int) -> PersonalData.Match? {
    let nameEnd = tokenEnd(text, from: place)
    guard (5...40).contains(nameEnd - place), names.finds(in: UnsafeRawBufferPointer(rebasing: text[place..<nameEnd]))
    else {
      return nil
    }
    var index = nameEnd
    var hasSign = false
    while index < text.count, index - nameEnd < 6, [0x20, 0x22, 0x27, 0x3A, 0x3D, 0x60].contains(text[index]) {
      if text[index] == UInt8(ascii: ":") || text[index] == UInt8(ascii: "=") { hasSign = true }
      index += 1
    }
    let end = tokenEnd(text, from: index)
    guard hasSign, end - index >= 16 else { return nil }
    let value = text[index..<end]
    guard value.contains(where: { PersonalData.isDigit($0) }), value.contains(where: { PersonalData.isLetter($0) })
    else { return nil }
    return PersonalData.Match(kind: .key, range: index..<end)
  }

  private static func tokenEnd(_ text: UnsafeRawBufferPointer, from place: Int) -> Int {
    var end = place
    while end < text.count,
      PersonalData.isWordByte(text[end]) || [0x2D, 0x2B, 0x2F].contains(text[end])
        || text[end] == UInt8(ascii: ".") && end + 1 < text.count && PersonalData.isWordByte(text[end + 1])
    {
      end += 1
    }
    return end
  }

  private static func contains(_ text: UnsafeRawBufferPointer, _ range: Range<Int>, _ part: StaticString) -> Bool {
    range.contains { text.has(part, at: $0) }
  }
}
