import Compute

/// At which sizes each family of ``OpTable`` is made.
package struct OpShapes {
  /// Rows, outputs, inputs.
  var linears: [(m: Int, n: Int, k: Int)]
  var norms: [(rows: Int, width: Int)]
  /// Of packed queries, keys and values.
  var layouts: [(rows: Int, H: Int, K: Int, D: Int)]
  var attentions: [(B: Int, T: Int, H: Int, K: Int, D: Int)]
  var cachedAttentions: [(B: Int, T: Int, H: Int, K: Int, D: Int, capacity: Int, past: Int)]
  var activations: [(rows: Int, width: Int)]
  var branches: [(rows: Int, width: Int)]
  var elementwise: [Int]
  var embeddings: [(rows: Int, vocabulary: Int, width: Int)]
  /// And where in their texts the tokens of a row stand.
  var convolutions: [(B: Int, T: Int, C: Int, taps: Int, positions: [Int32])]
  /// And as many ranges for each sequence.
  var pools: [(B: Int, T: Int, C: Int, ranges: [Int32])]
  /// And the rows' weights in turn.
  var heads: [(rows: Int, C: Int, V: Int, weightsInTurn: [Float])]

  private static let mixed: [Float] = [1, 0, 0.5, 2]

  /// 1, odd ones, ones that are no multiple of a vector.
  package static let awkward = OpShapes(
    linears: [
      (1, 1, 1), (1, 7, 65), (7, 8, 1), (8, 65, 7), (65, 7, 8), (14, 32, 64), (15, 33, 17), (65, 130, 67),
      (200, 96, 300), (3, 515, 600), (16, 64, 1030),
    ],
    norms: [(1, 1), (3, 2), (5, 3), (1, 7), (7, 8), (8, 65), (65, 1), (33, 130), (130, 48)],
    layouts: [
      (1, 1, 1, 2), (3, 2, 1, 6), (7, 4, 2, 8), (5, 3, 3, 10), (9, 4, 1, 34), (4, 2, 1, 4), (2, 6, 2, 64),
      (11, 2, 2, 16),
    ],
    attentions: [
      (1, 1, 1, 1, 1), (1, 7, 1, 1, 8), (2, 8, 2, 1, 7), (1, 65, 4, 2, 16), (2, 33, 6, 3, 5), (1, 130, 2, 2, 64),
      (3, 17, 3, 1, 33), (1, 200, 1, 1, 32), (1, 3, 2, 2, 128), (2, 150, 4, 2, 64),
    ],
    cachedAttentions: [
      (1, 1, 1, 1, 1, 1, 0), (1, 1, 2, 1, 8, 65, 40), (2, 7, 4, 2, 16, 33, 12), (1, 65, 6, 3, 5, 130, 65),
      (3, 1, 2, 2, 64, 20, 19), (1, 40, 2, 2, 32, 40, 0),
    ],
    activations: [(1, 1), (7, 8), (3, 65), (33, 7)],
    branches: [(1, 3), (7, 8), (33, 65)],
    elementwise: [1, 7, 8, 65, 1000],
    embeddings: [(1, 1, 1), (7, 5, 8), (65, 3, 7), (8, 65, 65)],
    convolutions: [
      (1, 1, 1, 1, [0]), (2, 7, 8, 3, [0, 1, 2, 0, 1, 0, 0]), (3, 65, 65, 2, (0..<65).map { $0 }),
      (1, 33, 130, 4, (0..<33).map { $0 % 12 }), (2, 2, 7, 5, [0, 1]),
    ],
    pools: [
      (1, 1, 1, [0, 1]), (1, 7, 8, [0, 7, 2, 3, 7, 7]), (2, 65, 65, [0, 20, 20, 64, 30, 90, -3, 2]),
      (3, 33, 130, [1, 33, 0, 0, 5, 6]),
    ],
    heads: [
      (1, 1, 1, [1]), (7, 8, 65, mixed), (65, 7, 8, mixed), (100, 33, 130, mixed), (9, 16, 1, mixed),
      (33, 16, 65, [1]), (7, 8, 9, [0]),
    ])

  /// Drawn by a seed, three of each family.
  package static func random(seed: UInt64) -> OpShapes {
    var chance = PhiloxGenerator(seed: seed)
    func draw(_ range: ClosedRange<Int>) -> Int { Int.random(in: range, using: &chance) }
    func three<Shape>(_ shape: () -> Shape) -> [Shape] { (1...3).map { _ in shape() } }
    /// Heads as models have them: on tensor cores or not, in groups or not.
    func heads() -> (H: Int, K: Int, D: Int) {
      let K = draw(1...3)
      return (K * draw(1...3), K, Bool.random(using: &chance) ? 32 * draw(1...4) : draw(1...128))
    }
    return OpShapes(
      linears: three { (draw(1...80), draw(1...150), draw(1...150)) },
      norms: three { (draw(1...80), draw(1...200)) },
      layouts: three {
        let K = draw(1...3)
        return (draw(1...16), K * draw(1...3), K, 2 * draw(1...64))
      },
      attentions: three {
        let (H, K, D) = heads()
        return (draw(1...3), draw(1...160), H, K, D)
      },
      cachedAttentions: three {
        let ((H, K, D), T, past) = (heads(), draw(1...40), draw(0...60))
        return (draw(1...3), T, H, K, D, past + T + draw(0...40), past)
      },
      activations: three { (draw(1...40), draw(1...100)) },
      branches: three { (draw(1...60), draw(1...80)) },
      elementwise: three { draw(1...5000) },
      embeddings: three { (draw(1...80), draw(1...80), draw(1...100)) },
      convolutions: three {
        let (T, text) = (draw(1...60), draw(1...60))
        return (draw(1...3), T, draw(1...140), draw(1...5), (0..<T).map { Int32($0 % text) })
      },
      pools: three {
        let (B, T) = (draw(1...3), draw(1...60))
        let ranges = (0..<2 * B).flatMap { _ in [draw(-3...T + 10), draw(-3...T + 10)].sorted().map(Int32.init) }
        return (B, T, draw(1...140), ranges)
      },
      heads: three { (draw(1...80), draw(1...60), draw(1...150), mixed) })
  }
}
