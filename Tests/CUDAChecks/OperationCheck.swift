package import Compute
package import TestSupport

/// How far an executor's result is from the reference.
package struct Finding {
  package let name: String
  package let error: Double
  package let tolerance: Double

  package var passes: Bool { error <= tolerance }
}

/// Every operation, forward and backward, beside the fp64 reference.
package enum OperationCheck {
  /// The largest error of each case's results; infinite where a gradient's padding was written.
  package static func run(
    _ precision: Precision, on executor: some Executor, at shapes: OpShapes = .awkward,
    found: (Finding) throws -> Void
  ) throws {
    for opCase in OpTable.cases(shapes) {
      let op = try OpProgram(opCase, precision: precision, guardBytes: 0)
      let expected = try OpRun(opCase, op, on: ReferenceExecutor())
      let run = try OpRun(opCase, op, on: executor)
      guard let reference = expected.execution as? ReferenceExecution else { preconditionFailure() }
      let errors = try run.compared(op).map { (_, node) in try relativeError(run.values(node), reference[node]) }
      let error = try run.paddingIsZero() ? errors.max() ?? 0 : .infinity
      // Several operations in a row round several times.
      let tolerance = (precision == .fp32 ? 1e-5 : 2e-2) * (opCase.isChain ? 2 : 1)
      try found(Finding(name: "\(opCase)", error: error, tolerance: tolerance))
    }
  }
}
