import Compute
import ComputeCUDA
import Formats
import TestSupport

/// The speed of the matrix products of a layer and the head, as training runs them, in the card's fastest precision.
struct ProductRates {
  let rows, width, vocabulary: Int

  private static let repeats = 5

  private var shapes: [(name: String, rows: Int, from: Int, to: Int)] {
    [
      ("queries, keys, values", rows, width, 3 * width), ("attention's output", rows, width, width),
      ("up", rows, width, 4 * width), ("down", rows, 4 * width, width),
      // As many rows as make up for the vocabulary; training holds the logits of a part of the rows at once, too.
      ("head", max(1, rows / 4), width, vocabulary),
    ]
  }

  /// Three lines for each linear layer: forward, its input's gradient, its weight's.
  func measure(_ executor: CUDAExecutor, _ profile: StepProfile) throws -> [JSON] {
    try shapes.flatMap { (name, rows, K, N) -> [JSON] in
      let linear = OpCase(name, parameters: [("weight", [N, K])]) { graph in
        [try graph.linear(graph.input("x", [rows, K]), weight: graph.parameter("weight"))]
      }
      let op = try OpProgram(linear, precision: executor.fastestPrecision, guardBytes: 0)
      // The first run finds the fastest algorithms.
      let run = try OpRun(linear, op, on: executor)
      let before = profile.entries
      profile.isOn = true
      for _ in 1...Self.repeats { try run.execution.run(RunContext(seed: 5, microStep: 3)) }
      profile.isOn = false
      return profile.entries.sorted { $0.key < $1.key }.compactMap { (kind, entry) -> JSON? in
        let seconds = (entry.seconds - (before[kind]?.seconds ?? 0)) / Double(Self.repeats)
        guard entry.calls > before[kind]?.calls ?? 0, seconds > 0 else { return nil }
        let flops = 2 * Double(rows) * Double(K) * Double(N)
        return [
          "check": "product", "name": .string("\(name): \(kind)"), "rows": .integer(Int64(rows)),
          "from": .integer(Int64(K)), "to": .integer(Int64(N)), "precision": .string("\(executor.fastestPrecision)"),
          "seconds": .number(seconds), "tflops": .number(flops / seconds / 1e12),
        ]
      }
    }
  }
}
