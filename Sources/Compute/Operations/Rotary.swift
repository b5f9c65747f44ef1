import Foundation

/// The angles of rotary positions: θᵢ = base^(−2i/D) for pair i of a head.
///
/// Su et al., "RoFormer", arXiv:2104.09864, section 3.2.2. Frequencies and angles are rounded to fp32 as PyTorch
/// implementations round them, so that long contexts agree to the last bits.
package struct RotaryFrequencies: Hashable, Sendable {
  package let base: Double
  package let headSize: Int

  package init(base: Double, headSize: Int) {
    self.base = base
    self.headSize = headSize
  }

  /// θ of pair `pair` (0..<D/2), in radians per position.
  package func frequency(pair: Int) -> Float {
    1 / Float(pow(base, Double(2 * pair) / Double(headSize)))
  }

  /// Writes the cosines of every (position, pair) into the first half of a buffer of positions·D, the sines into the
  /// second.
  package func fill(_ table: UnsafeMutableBufferPointer<Float>, positions: Int) {
    let half = headSize / 2
    precondition(table.count >= 2 * positions * half)
    for pair in 0..<half {
      let frequency = frequency(pair: pair)
      for position in 0..<positions {
        let angle = Double(Float(position) * frequency)
        table[position * half + pair] = Float(cos(angle))
        table[(positions + position) * half + pair] = Float(sin(angle))
      }
    }
  }

  /// The angle of a pair at `position`, in radians.
  package func angle(position: Int, pair: Int) -> Float {
    Float(position) * frequency(pair: pair)
  }
}

/// Rotates the query and key heads of packed rows by their position: (x₁, x₂) → (x₁cos − x₂sin, x₂cos + x₁sin) where x₁
/// is the first half of a head and x₂ the second ("rotate half"); values pass through.
package struct Rotary: Operands {
  package let layout: HeadLayout
  package let frequencies: RotaryFrequencies
  /// Rotate by the negative angle: the gradient, and nanochat's convention.
  package let inverse: Bool
  /// Rows of angles that are needed: positions are below this.
  package let maxPositions: Int
  /// (…, (H + 2K)·D).
  package let x: Node
  /// (…) of int32.
  package let positions: Node
  package let y: Node

  package var reads: [Node?] { [x, positions] }
  package var writes: [Node?] { [y] }
  package var inPlace: [Node: [Node?]] { [y: [x]] }
}

extension Graph {
  /// Rotary positions on packed queries and keys.
  ///
  /// - Parameters:
  ///   - x: (…, (H + 2K)·D), packed as ``HeadLayout`` says; D even.
  ///   - positions: (…) of int32, each in 0..<maxPositions.
  ///   - inverse: rotate by the negative angles.
  /// - Throws: ``ComputeError/shape(op:expected:got:)``, ``ComputeError/setting(op:problem:)`` for an odd D.
  package mutating func rotary(
    _ x: Node, positions: Node, layout: HeadLayout, frequencies: RotaryFrequencies, maxPositions: Int,
    inverse: Bool = false
  ) throws(ComputeError) -> Node {
    try layout.check(shape(x), op: "rotary")
    guard layout.headSize.isMultiple(of: 2), frequencies.headSize == layout.headSize else {
      throw .setting(op: "rotary", problem: "heads of \(layout.headSize) elements can't be rotated in pairs")
    }
    guard shape(positions).count == shape(x).rows else {
      throw .shape(op: "rotary", expected: "\(shape(x).rows) positions", got: "\(shape(positions))")
    }
    let y = intermediate("rotary", shape(x))
    operations.append(
      .rotary(
        Rotary(
          layout: layout, frequencies: frequencies, inverse: inverse, maxPositions: maxPositions, x: x,
          positions: positions, y: y)))
    return y
  }
}
