package import Tokenization

/// How many bytes of text each token stands for, for bits per byte: loss in nats ÷ (ln 2 · bytes).
///
/// Special tokens stand for none, and so do ids that the tokenizer doesn't know.
package struct TokenBytes: Sendable {
  private let table: [Int32]

  package init(_ tokenizer: Tokenizer) {
    table = (0..<Int32(tokenizer.vocabularySize)).map { Int32(tokenizer.byteCount($0)) }
  }

  package subscript(id: Int32) -> Int {
    table.indices.contains(Int(id)) ? Int(table[Int(id)]) : 0
  }

  /// The bytes of the targets that count.
  package func total(
    targets: UnsafeBufferPointer<Int32>, weights: UnsafeBufferPointer<Float>
  ) -> Int {
    var total = 0
    for index in 0..<targets.count where weights[index] != 0 { total += self[targets[index]] }
    return total
  }

  /// The bytes that a text's tokens stand for, from the second token on: those that are predicted.
  package func predicted(_ ids: some Collection<Int32>) -> Int { ids.dropFirst().reduce(0) { $0 + self[$1] } }
}
