import Compute
import TestSupport
import Testing

@Suite("The reference's gradients")
struct ReferenceGradientTests {
  /// Central differences in fp64: truncation ~h², rounding ~1e-16/h.
  @Test("agree with finite differences", arguments: OpTable.all.filter { $0.backward != .none })
  func finiteDifferences(opCase: OpCase) throws {
    let op = try OpProgram(opCase)
    let executor = ReferenceExecutor()
    let parameters = executor.makeParameters(op.program.graph.parameters, training: true)
    let states = executor.makeParameters(op.program.graph.states, training: false)
    let execution = try #require(
      executor.prepare(op.program, parameters: parameters, states: states) as? ReferenceExecution)
    try op.fill(execution, parameters, states, opCase)
    let context = RunContext(seed: 5, microStep: 3)

    func objective() -> Double {
      execution.run(context)
      if opCase.backward == .loss {
        let weights = opCase.floats["weights"] ?? []
        let normalizer = Double(opCase.floats["normalizer"]?.first ?? 1)
        return zip(execution[op.outputs[0]], weights).reduce(0) { $0 + $1.0 * Double($1.1) } / normalizer
      }
      return zip(op.outputs, op.seeds).reduce(0) { sum, pair in
        zip(execution[pair.0], execution[pair.1]).reduce(sum) { $0 + $1.0 * $1.1 }
      }
    }

    let pairs =
      op.inputGradients.map { ($0.input, $0.gradient) } + op.parameterGradients.map { ($0.parameter, $0.gradient) }
    #expect(!pairs.isEmpty)
    _ = objective()
    let analytic = pairs.map { execution[$0.1] }
    var generator = PhiloxGenerator(seed: 17)
    let h = 1e-5
    for (pair, gradient) in zip(pairs, analytic) {
      let norm = max(gradient.reduce(0) { max($0, abs($1)) }, 1e-3)
      for _ in 0..<min(gradient.count, 12) {
        let index = Int.random(in: 0..<gradient.count, using: &generator)
        let original = execution[pair.0][index]
        execution[pair.0][index] = original + h
        let above = objective()
        execution[pair.0][index] = original - h
        let below = objective()
        execution[pair.0][index] = original
        let error = abs((above - below) / (2 * h) - gradient[index]) / norm
        #expect(error <= 1e-6, "\(op.program.graph[pair.0].name)[\(index)]")
      }
    }
  }
}
