import Compute
import ComputeCPU
import Foundation
import TestSupport
import Testing

@Suite("The CPU executor")
struct CPUExecutorTests {
  @Test(
    "matches the reference, forward and backward, in every precision and instruction set", arguments: OpTable.all,
    Precision.allCases)
  func matchesReference(opCase: OpCase, precision: Precision) throws {
    let op = try OpProgram(opCase, precision: precision)
    let expected = try OpRun(opCase, op, on: ReferenceExecutor())
    for instructionSet in CPUExecutor.instructionSets(with: precision) {
      let executor = try CPUExecutor(threads: 2, instructionSet: instructionSet)
      let run = try OpRun(opCase, op, on: executor) { ($0 as? CPUExecution)?.poison() }
      for (name, node) in run.compared(op) {
        let reference = try #require(expected.execution as? ReferenceExecution)
        let error = try relativeError(run.values(node), reference[node])
        #expect(error <= op.tolerance(node, opCase), "\(name) in \(instructionSet)")
      }
      let execution = try #require(run.execution as? CPUExecution)
      #expect(execution.firstStrayWrite == nil, "a stray write in \(instructionSet)")
      #expect(try run.paddingIsZero(), "padding of a gradient was written in \(instructionSet)")
    }
  }

  @Test("gives the same bits for any number of threads", arguments: OpTable.all, Precision.allCases)
  func deterministic(opCase: OpCase, precision: Precision) throws {
    let op = try OpProgram(opCase, precision: precision)
    let one = try OpRun(opCase, op, on: CPUExecutor(threads: 1))
    for threads in [2, 3] {
      let many = try OpRun(opCase, op, on: CPUExecutor(threads: threads))
      for (name, node) in one.compared(op) {
        #expect(
          try one.values(node).map(\.bitPattern) == many.values(node).map(\.bitPattern), "\(name), \(threads) threads")
      }
    }
  }

  @Test(
    "adds gradients when it accumulates", arguments: OpTable.all.filter { $0.backward != .none }, Precision.allCases)
  func accumulates(opCase: OpCase, precision: Precision) throws {
    let op = try OpProgram(opCase, precision: precision)
    let run = try OpRun(opCase, op, on: CPUExecutor(threads: 2))
    let once = try op.parameterGradients.map { try run.values($0.gradient) }
    try run.execution.run(RunContext(seed: 5, microStep: 3, accumulates: true))
    for (single, pair) in zip(once, op.parameterGradients) {
      #expect(try relativeError(run.values(pair.gradient), single.map { 2 * Double($0) }) <= 1e-6)
    }
  }

  @Test("updates weights as the reference does")
  func update() throws {
    var layout = TensorLayout()
    for (index, shape) in ([[7], [5, 33], [1], [128, 65], [3, 3], [16]] as [Shape]).enumerated() {
      layout.add("tensor\(index)", shape)
    }
    let reference = ReferenceExecutor().makeParameters(layout, training: true)
    let executor = try CPUExecutor(threads: 2)
    let store = try executor.makeParameters(layout, training: true)
    for (index, entry) in layout.entries.enumerated() {
      let weights = normals(entry.shape.count, seed: 1, stream: UInt32(index))
      try reference.write(.weights, entry, weights)
      try store.write(.weights, entry, weights)
    }
    for step in 1...5 {
      for (index, entry) in layout.entries.enumerated() {
        let gradients = normals(entry.shape.count, seed: UInt64(step + 1), stream: UInt32(index))
        try reference.write(.gradients, entry, gradients)
        try store.write(.gradients, entry, gradients)
      }
      // The first is not clipped.
      let update = OptimizerUpdate(
        step: step, learningRate: 0.01, beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay: 0.1,
        clip: step == 1 ? 0 : 10, lossScale: step == 2 ? 8 : 1)
      try reference.update(update)
      try store.update(update)
      let (report, expected) = try (store.nextReport(), reference.nextReport())
      #expect(abs(report.gradientNorm - expected.gradientNorm) <= 1e-6 * expected.gradientNorm)
    }
    for buffer in [ParameterBuffer.weights, .firstMoment, .secondMoment] {
      for entry in layout.entries {
        #expect(try relativeError(store.read(buffer, entry), reference.read(buffer, entry).map(Double.init)) <= 1e-6)
      }
    }
  }
}

extension CPUExecutorTests {
  /// Weights and momentum after some updates with Muon, beside the reference: their relative errors.
  private static func muonErrors(
    _ precision: Precision, threads: Int, _ instructionSet: String
  ) throws -> (weights: Double, momentum: Double, bits: [[UInt32]]) {
    var layout = TensorLayout()
    layout.add("embedding", [9, 33], role: .embedding)
    for (rows, columns) in [(1, 1), (7, 65), (65, 7), (33, 33), (130, 48)] {
      layout.add("matrix\(rows)x\(columns)", [rows, columns], role: .matrix(rows: [rows]))
    }
    layout.add("parts", [24 + 8 + 8, 24], role: .matrix(rows: [24, 8, 8]))
    layout.add("bias", [5])
    layout.add("constant", [8, 8], role: .matrix(rows: [8]), isTrainable: false)
    let reference = ReferenceExecutor().makeParameters(layout, training: true)
    let executor = try CPUExecutor(threads: threads, instructionSet: instructionSet)
    let store = try executor.makeParameters(layout, training: true, moments: precision == .bf16 ? .bf16 : .fp32)
    if precision != .fp32 {
      // A program in halves makes the store keep a copy of the weights, and Muon compute in them.
      var graph = Graph(parameters: layout, precision: precision)
      graph.keep(try graph.embedding(graph.input("ids", [1], .int32), table: graph.parameter("embedding")))
      _ = try executor.prepare(Program(graph), parameters: store, states: nil)
    }
    for step in 1...3 {
      for (index, entry) in layout.entries.enumerated() where entry.isTrainable {
        let gradients = normals(entry.shape.count, seed: UInt64(step), stream: UInt32(index))
        for side in [reference, store] as [any ParameterStore] { try side.write(.gradients, entry, gradients) }
      }
      var update = OptimizerUpdate(
        step: step, learningRate: 0.01, beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay: 0.1, clip: 10, seed: 3)
      update.embeddingRate = 0.05
      update.muon = .init(learningRate: 0.02, momentum: 0.9, weightDecay: 0.1)
      for side in [reference, store] as [any ParameterStore] {
        try side.update(update)
        _ = try side.nextReport()
      }
    }
    func error(_ buffer: ParameterBuffer) throws -> Double {
      try layout.entries.map {
        try relativeError(store.read(buffer, $0), reference.read(buffer, $0).map(Double.init))
      }.max() ?? 0
    }
    return try (error(.weights), error(.firstMoment), store.bits(.weights))
  }

  @Test("updates matrices with Muon as the reference does", arguments: Precision.allCases)
  func muon(precision: Precision) throws {
    for instructionSet in CPUExecutor.instructionSets(with: precision) {
      let (weights, momentum, bits) = try Self.muonErrors(precision, threads: 2, instructionSet)
      // Each product is rounded, and the first polynomials make small singular values a thousand times larger.
      #expect(weights <= (precision == .fp32 ? 1e-4 : precision == .bf16 ? 0.15 : 0.03), "\(instructionSet)")
      #expect(momentum <= (precision == .bf16 ? 2e-2 : 1e-6), "\(instructionSet)")
      #expect(try Self.muonErrors(precision, threads: 1, instructionSet).bits == bits)
    }
  }

  @Test("keeps moments in bf16 whose mean is that of fp32, though steps are smaller than bf16 resolves")
  func moments() throws {
    let updates = 400
    let count = 20_011
    var layout = TensorLayout()
    layout.add("bias", [17])
    layout.add("weight", [count])
    let entry = try #require(layout["weight"])
    func train(on executor: CPUExecutor, moments: Precision) throws -> any ParameterStore {
      let store = try executor.makeParameters(layout, training: true, moments: moments)
      try store.write(.gradients, entry, [Float](repeating: 1, count: count))
      for step in 1...updates {
        try store.update(
          OptimizerUpdate(
            step: step, learningRate: 0.001, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0, seed: 3))
        _ = try store.nextReport()
      }
      return store
    }
    func mean(_ values: [Float]) -> Double { values.reduce(0) { $0 + Double($1) } / Double(values.count) }
    // 1 − 0.999⁴⁰⁰; rounded to nearest, the sum would stop at a quarter, where half a step of bf16 is 0.001.
    let expected = 1 - pow(0.999, Double(updates))
    for instructionSet in CPUExecutor.instructionSets(with: .bf16) {
      let store = try train(on: CPUExecutor(threads: 2, instructionSet: instructionSet), moments: .bf16)
      let second = try store.read(.secondMoment, entry)
      #expect(abs(mean(second) - expected) < 1e-3, "\(instructionSet)")
      #expect(second.allSatisfy { $0 == $0.rounded(to: .bfloat16) && abs(Double($0) - expected) < 0.1 })
      #expect(try abs(mean(store.read(.firstMoment, entry)) - 1) < 1e-3)
      #expect(try abs(mean(store.read(.weights, entry)) + 0.001 * Double(updates)) < 1e-3)
      #expect(Set(second).count > 4, "elements have random numbers of their own")
      let alone = try train(on: CPUExecutor(threads: 1, instructionSet: instructionSet), moments: .bf16)
      #expect(
        try alone.bits(.weights) == store.bits(.weights) && alone.bits(.secondMoment) == store.bits(.secondMoment))
    }
  }

  @Test("reads the weights as they are now, rounded", arguments: Precision.allCases)
  func operands(precision: Precision) throws {
    let (rows, width) = (11, 21)
    var layout = TensorLayout()
    layout.add("bias", [3])
    layout.add("table", [rows, width])
    var graph = Graph(parameters: layout, precision: precision)
    let ids = graph.input("ids", [rows], .int32)
    let y = try graph.embedding(ids, table: graph.parameter("table"))
    graph.keep(y)
    let executor = try CPUExecutor(threads: 2)
    let store = try executor.makeParameters(layout, training: true)
    let entry = try #require(layout["table"])
    try store.write(.weights, entry, normals(rows * width, seed: 1))
    let execution = try executor.prepare(Program(graph), parameters: store, states: nil)
    try execution.set(ids, (0..<rows).map(Int32.init))
    func check(_ when: Comment) throws {
      try execution.run(RunContext())
      #expect(try execution.get(y) == store.read(.weights, entry).map { $0.rounded(to: precision.dtype) }, when)
    }
    try check("written before the program was made")
    try store.write(.weights, entry, normals(rows * width, seed: 2))
    try check("written after")
    try store.write(.gradients, entry, normals(rows * width, seed: 3))
    try store.update(
      OptimizerUpdate(step: 1, learningRate: 0.1, beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay: 0.1))
    try check("updated")
    #expect(try store.read(.weights, entry) != normals(rows * width, seed: 2))
  }

  @Test("reports the loss that is minimised, of all micro-steps, and skips what is no number")
  func report() throws {
    let opCase = try #require(OpTable.all.first { $0.name.hasPrefix("head loss 100×33×130") })
    let op = try OpProgram(opCase)
    let run = try OpRun(opCase, op, on: CPUExecutor(threads: 2))
    let expected = try OpRun(opCase, op, on: ReferenceExecutor())
    for device in [run, expected] { try device.execution.run(RunContext(seed: 5, microStep: 4, accumulates: true)) }
    var update = OptimizerUpdate(step: 1, learningRate: 0.1, beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay: 0)
    func next() throws -> (UpdateReport, UpdateReport) {
      for device in [run, expected] { try device.parameters.update(update) }
      return try (run.parameters.nextReport(), expected.parameters.nextReport())
    }
    let (report, reference) = try next()
    let (losses, weights) = try (run.values(op.outputs[0]), #require(opCase.floats["weights"]))
    let once = zip(losses, weights).reduce(0) { $0 + Double($1.0) * Double($1.1) } / Double(weights.reduce(0, +))
    #expect(abs(report.loss - 2 * once) <= 1e-5 * once && abs(report.loss - reference.loss) <= 1e-5 * once)
    #expect(report.accuracy == reference.accuracy && report.isFinite)
    let entry = run.parameters.layout.entries[0]
    let before = try run.parameters.read(.weights, entry)
    try run.parameters.write(.gradients, entry, [Float](repeating: .nan, count: entry.shape.count))
    update.step = 2
    #expect(try !next().0.isFinite)
    #expect(try run.parameters.read(.weights, entry) == before)
  }

  @Test("multiplies gradients by the loss scale, and nothing else", arguments: Precision.allCases)
  func lossScale(precision: Precision) throws {
    let opCase = try #require(
      OpTable.all.first { $0.name.hasPrefix("head loss 100×33×130") && $0.name.hasSuffix("softcap bias") })
    let op = try OpProgram(opCase, precision: precision)
    let run = try OpRun(opCase, op, on: CPUExecutor(threads: 2))
    let gradients = op.parameterGradients.map(\.gradient) + op.inputGradients.map(\.gradient)
    let (outputs, once) = try (op.outputs.map(run.values), gradients.map(run.values))
    try run.execution.run(RunContext(seed: 5, microStep: 3, lossScale: 64))
    #expect(try op.outputs.map(run.values) == outputs)
    // A power of two: exact where nothing was too small for the precision before.
    for (gradient, before) in zip(gradients, once) {
      let tolerance = precision == .fp16 ? 1e-3 : 0
      #expect(try relativeError(run.values(gradient), before.map { 64 * Double($0) }) <= tolerance)
    }
  }
}
