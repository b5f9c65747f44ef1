import Compute
import Evaluation
import Models

/// What a training takes where the device computes.
enum TrainingMemory {
  /// Bytes of weights, optimizer state, programs and checkpoints' copy, found by making them; they are gone when this
  /// returns. Passes are halved until they fit, as a training does.
  ///
  /// - Throws: ``ComputeError``.
  static func bytes(_ settings: Settings, executor: any Executor) throws -> Int {
    var settings = settings
    settings.choosePrecision(for: executor)
    return try settings.fitting { try held($0, executor) }
  }

  private static func held(_ settings: Settings, _ executor: any Executor) throws(ComputeError) -> Int {
    var heldBytes: Int { executor.plannedBytes ?? SystemMemory.heldBytes }
    let before = heldBytes
    let transformer = try Transformer(settings.model)
    let store = try executor.makeParameters(
      transformer.parameterLayout, training: true, moments: settings.train.moments ?? .fp32)
    let update = try UpdateStep(transformer, settings: settings.train, store: store, executor: executor)
    let evaluator = try Evaluator(
      transformer, weights: store, executor: executor, batch: settings.train.resolvedMicroBatch,
      time: settings.train.context)
    let snapshot = try? Snapshot(transformer.parameterLayout)
    return withExtendedLifetime((update, evaluator, snapshot)) { heldBytes - before }
  }
}
