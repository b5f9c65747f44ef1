/// Which part of a corpus, of how many: that of the files whose number, divided by the count, leaves the index.
package struct PartNumber: Equatable, Sendable {
  package let index: Int
  package let count: Int

  /// More would rather be a mistake; each is a folder of its own, and a few open files when all are merged.
  package static let mostParts = 10_000
  /// All files.
  package static let whole = PartNumber(index: 0, count: 1)

  private init(index: Int, count: Int) {
    self.index = index
    self.count = count
  }

  /// nil for what can't be.
  init?(_ index: Int, of count: Int) {
    guard (1...Self.mostParts).contains(count), (0..<count).contains(index) else { return nil }
    self.init(index: index, count: count)
  }

  /// Of a text such as "0/8".
  package init(_ text: String) throws(CorpusError) {
    let numbers = text.split(separator: "/", omittingEmptySubsequences: false).map { digits in
      digits.utf8.allSatisfy { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) } ? Int(digits) : nil
    }
    guard numbers.count == 2, let index = numbers[0], let count = numbers[1],
      let part = PartNumber(index, of: count)
    else {
      throw .setting(
        name: "--part", value: text,
        expected: "i/n, with i from 0 to n - 1 and n up to \(Self.mostParts), such as 0/8")
    }
    self = part
  }
}
