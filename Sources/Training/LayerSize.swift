package import Compute

/// How large the weights of a part of a model are: what grows or dies away shows here before it shows in the loss.
package struct LayerSize: Sendable, Equatable {
  /// "embedding", "layers.0", …, "head".
  package let name: String
  /// √(mean(w²)) over the part's matrices; norms' and biases' few numbers say nothing beside them.
  package let rms: Double

  /// The parts of a model, in the order of the forward pass.
  package static func all(of store: any ParameterStore) throws(ComputeError) -> [LayerSize] {
    var sums: [(name: String, squares: Double, count: Int)] = []
    var buffer = [Float](repeating: 0, count: 1 << 16)
    for entry in store.layout.entries where entry.isTrainable && entry.shape.rank >= 2 {
      let parts = entry.name.split(separator: ".")
      let name = parts.prefix(parts.first == "layers" ? 2 : 1).joined(separator: ".")
      if sums.last?.name != name { sums.append((name, 0, 0)) }
      var squares = 0.0
      for start in stride(from: 0, to: entry.shape.count, by: buffer.count) {
        let count = min(buffer.count, entry.shape.count - start)
        squares += try buffer.withUnsafeMutableBufferPointer { (whole) throws(ComputeError) -> Double in
          let piece = UnsafeMutableBufferPointer(rebasing: whole[..<count])
          try store.read(.weights, at: entry.offset + start, into: piece)
          return sumOfSquares(piece)
        }
      }
      sums[sums.count - 1].squares += squares
      sums[sums.count - 1].count += entry.shape.count
    }
    return sums.map { LayerSize(name: $0.name, rms: ($0.squares / Double(max(1, $0.count))).squareRoot()) }
  }

  /// Eight sums side by side, which the processor adds at once.
  private static func sumOfSquares(_ values: UnsafeMutableBufferPointer<Float>) -> Double {
    var sums = SIMD8<Double>()
    let whole = values.count / 8 * 8
    for start in stride(from: 0, to: whole, by: 8) {
      var lane = SIMD8<Double>()
      for i in 0..<8 { lane[i] = Double(values[start + i]) }
      sums += lane * lane
    }
    return values[whole...].reduce(sums.sum()) { $0 + Double($1) * Double($1) }
  }
}
