import CUDAChecks
import Compute
import ComputeCUDA
import TestSupport
import Testing

/// The driver has the cores to itself: tests run one after another.
@Suite("The CUDA executor, on the driver for tests", .serialized)
struct SlowCUDAExecutorTests {
  @Test("matches the reference, forward and backward, in every precision", arguments: Precision.allCases)
  func matchesReference(precision: Precision) throws {
    var count = 0
    try OperationCheck.run(precision, on: TestDriver.makeExecutor()) {
      #expect($0.passes, "\($0.name): \($0.error)")
      count += 1
    }
    #expect(count == OpTable.all.count)
  }

  @Test("matches the reference at shapes that a seed draws", arguments: Precision.allCases)
  func matchesReferenceAtDrawnShapes(precision: Precision) throws {
    // Its logits are far above the cap. `gpu-check operations SEED` tries others.
    let seed: UInt64 = 822_863
    try OperationCheck.run(precision, on: TestDriver.makeExecutor(), at: .random(seed: seed)) {
      #expect($0.passes, "\($0.name): \($0.error)")
    }
  }

  @Test("gives the same bits when it runs the captured graph, and adds gradients when it accumulates")
  func runsAgain() throws {
    let executor = try TestDriver.makeExecutor()
    for opCase in OpTable.all {
      let op = try OpProgram(opCase, precision: .bf16, guardBytes: 0)
      let run = try OpRun(opCase, op, on: executor)
      let compared = run.compared(op)
      let first = try compared.map { try run.values($0.node).map(\.bitPattern) }
      // The second run is the first that is captured, the third launches the graph once more.
      for _ in 2...3 { try run.execution.run(RunContext(seed: 5, microStep: 3)) }
      for (index, (name, node)) in compared.enumerated() {
        #expect(try run.values(node).map(\.bitPattern) == first[index], "\(name) of \(opCase)")
      }
      let once = try op.parameterGradients.map { try run.values($0.gradient) }
      for _ in 2...4 { try run.execution.run(RunContext(seed: 5, microStep: 3, accumulates: true)) }
      for (single, pair) in zip(once, op.parameterGradients) {
        let error = try relativeError(run.values(pair.gradient), single.map { 4 * Double($0) })
        #expect(error <= 1e-6, "d\(op.program.graph[pair.parameter].name) of \(opCase)")
      }
    }
  }

  @Test("updates weights as the reference does, in every precision of the moments", arguments: [Precision.fp32, .bf16])
  func update(moments: Precision) throws {
    var layout = TensorLayout()
    for (index, shape) in ([[7], [5, 33], [1], [128, 165], [3, 3], [16]] as [Shape]).enumerated() {
      layout.add("tensor\(index)", shape, isTrainable: index != 4)
    }
    let reference = ReferenceExecutor().makeParameters(layout, training: true)
    let executor = try TestDriver.makeExecutor()
    let store = try executor.makeParameters(layout, training: true, moments: moments)
    func write(_ buffer: ParameterBuffer, seed: UInt64) throws {
      for (index, entry) in layout.entries.enumerated() where buffer != .gradients || entry.isTrainable {
        let values = normals(entry.shape.count, seed: seed, stream: UInt32(index))
        try reference.write(buffer, entry, values)
        try store.write(buffer, entry, values)
      }
    }
    try write(.weights, seed: 1)
    for step in 1...5 {
      try write(.gradients, seed: UInt64(step + 1))
      // The first is not clipped.
      let update = OptimizerUpdate(
        step: step, learningRate: 0.01, beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay: 0.1,
        clip: step == 1 ? 0 : 10, lossScale: step == 2 ? 8 : 1, seed: 3)
      try reference.update(update)
      try store.update(update)
      let (report, expected) = try (store.nextReport(), reference.nextReport())
      #expect(abs(report.gradientNorm - expected.gradientNorm) <= 1e-6 * expected.gradientNorm)
    }
    for buffer in [ParameterBuffer.weights, .firstMoment, .secondMoment] {
      for entry in layout.entries {
        let (values, exact) = try (store.read(buffer, entry), reference.read(buffer, entry))
        let tolerance = moments == .fp32 ? 1e-6 : buffer == .weights ? 5e-3 : 3e-2
        #expect(relativeError(values, exact.map(Double.init)) <= tolerance)
        guard moments == .bf16, buffer != .weights else { continue }
        #expect(values == values.map { $0.rounded(to: .bfloat16) })
      }
    }
  }

  @Test("updates matrices with Muon as the reference does, the same bits twice", arguments: Precision.allCases)
  func muon(precision: Precision) throws {
    let (reference, first) = try (ReferenceExecutor(), TestDriver.makeExecutor())
    var layout = TensorLayout()
    layout.add("embedding", [9, 33], role: .embedding)
    // Some alone and some together: wide, tall and square.
    for (rows, columns, count) in [(1, 1, 1), (7, 65, 3), (65, 7, 2), (33, 33, 2), (130, 72, 1)] {
      for index in 1...count {
        layout.add("matrix\(rows)x\(columns)-\(index)", [rows, columns], role: .matrix(rows: [rows]))
      }
    }
    layout.add("parts", [24 + 8 + 8, 24], role: .matrix(rows: [24, 8, 8]))
    layout.add("odd", [3 + 4, 5], role: .matrix(rows: [3, 4]))
    layout.add("bias", [5])
    layout.add("constant", [8, 8], role: .matrix(rows: [8]), isTrainable: false)

    func train(on executor: some Executor) throws -> any ParameterStore {
      let store = try executor.makeParameters(layout, training: true, moments: precision == .bf16 ? .bf16 : .fp32)
      // A program in halves makes the store keep a copy of the weights, and Muon compute in them.
      var graph = Graph(parameters: layout, precision: precision)
      graph.keep(try graph.embedding(graph.input("ids", [1], .int32), table: graph.parameter("embedding")))
      _ = try executor.prepare(Program(graph), parameters: store, states: nil)
      for step in 1...4 {
        for (index, entry) in layout.entries.enumerated() where entry.isTrainable {
          try store.write(.gradients, entry, normals(entry.shape.count, seed: UInt64(step), stream: UInt32(index)))
        }
        var update = OptimizerUpdate(
          step: step, learningRate: 0.01, beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay: 0.1, clip: 10, seed: 3)
        update.embeddingRate = 0.05
        update.muon = .init(learningRate: 0.02, momentum: 0.9, weightDecay: 0.1)
        // The third is skipped.
        if step == 3 { update.mostGradientNorm = 1 }
        try store.update(update)
        #expect(try store.nextReport().isApplied == (step != 3))
      }
      return store
    }
    let (exact, store) = try (train(on: reference), train(on: first))
    func error(_ buffer: ParameterBuffer) throws -> Double {
      try layout.entries.map {
        try relativeError(store.read(buffer, $0), exact.read(buffer, $0).map(Double.init))
      }.max() ?? 0
    }
    // Each product is rounded, and the first polynomials make small singular values a thousand times larger.
    #expect(try error(.weights) <= (precision == .fp32 ? 1e-4 : precision == .bf16 ? 0.15 : 0.03))
    #expect(try error(.firstMoment) <= (precision == .bf16 ? 2e-2 : 1e-6))
    for entry in layout.entries where entry.role.isMatrix {
      #expect(try store.read(.secondMoment, entry).allSatisfy { $0 == 0 }, "AdamW leaves \(entry.name) alone")
    }
    let executor = try TestDriver.makeExecutor()
    executor.choices = first.choices
    let second = try train(on: executor)
    for buffer in ParameterBuffer.allCases {
      for entry in layout.entries {
        let (left, right) = try (store.read(buffer, entry), second.read(buffer, entry))
        #expect(left.map(\.bitPattern) == right.map(\.bitPattern), "\(buffer) of \(entry.name)")
      }
    }
  }

  @Test("reports two updates in their order, and skips what is no number")
  func reports() throws {
    var layout = TensorLayout()
    layout.add("weight", [3, 5])
    let store = try TestDriver.makeExecutor().makeParameters(layout, training: true)
    let entry = layout.entries[0]
    func update(_ gradient: Float, step: Int) throws {
      try store.write(.gradients, entry, [Float](repeating: gradient, count: 15))
      try store.update(
        OptimizerUpdate(step: step, learningRate: 0.5, beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay: 0))
    }
    try update(1, step: 1)
    try update(.infinity, step: 2)
    #expect(try abs(store.nextReport().gradientNorm - 15.0.squareRoot()) < 1e-6)
    let weights = try store.read(.weights, entry)
    #expect(weights.allSatisfy { abs($0 + 0.5) < 1e-5 }, "the second update left them")
    #expect(try !store.nextReport().isFinite)
    try update(1, step: 2)
    #expect(try store.nextReport().isFinite && store.read(.weights, entry) != weights)
  }
}
