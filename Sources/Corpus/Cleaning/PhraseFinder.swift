/// Looks for any of a few phrases, upper and lower case alike.
struct PhraseFinder: Sendable {
  private let phrases: [[UInt8]]
  /// Whether a phrase begins with this byte.
  private let begins: [Bool]

  /// - Parameter phrases: in lower case.
  init(_ phrases: [String]) {
    self.phrases = phrases.map { Array($0.utf8) }
    var begins = [Bool](repeating: false, count: 256)
    for phrase in self.phrases { if let first = phrase.first { begins[Int(first)] = true } }
    self.begins = begins
  }

  func finds(in text: UnsafeRawBufferPointer) -> Bool {
    begins.withUnsafeBufferPointer { begins in
      for place in text.indices where begins[Int(Self.folded(text[place]))] {
        for phrase in phrases where matches(phrase, text, at: place) { return true }
      }
      return false
    }
  }

  private func matches(_ phrase: [UInt8], _ text: UnsafeRawBufferPointer, at place: Int) -> Bool {
    guard phrase.count <= text.count - place else { return false }
    for offset in phrase.indices where Self.folded(text[place + offset]) != phrase[offset] { return false }
    return true
  }

  @inline(__always)
  private static func folded(_ byte: UInt8) -> UInt8 { byte &- 0x41 < 26 ? byte | 0x20 : byte }

  static let placeholder = PhraseFinder(["lorem ipsum"])
  /// C4's, and what stands for them on Chinese pages.
  static let notices = PhraseFinder([
    "javascript", "terms of use", "privacy policy", "cookie policy", "uses cookies", "use of cookies", "use cookies",
    "隐私政策",
    "隱私政策", "使用条款", "使用條款",
  ])
}
