package import Compute
import Formats
package import Models
package import Tokenization

/// Where a training stands, beside its weights: what a resume needs to go on bit for bit.
package struct TrainerState: Sendable, Equatable {
  /// Updates done.
  package var step = 0
  /// Rows taken from the loader.
  package var rows = 0
  /// Tokens trained on.
  package var tokens = 0
  /// Passes forward and backward done: the counter of random numbers.
  package var microSteps = 0
  /// Progress at which the warmup ended, once it has.
  package var warmupEnd: Double?
  /// Seconds used.
  package var elapsed = 0.0
  /// The lowest validation loss so far.
  package var bestLoss: Double?
  /// Evaluations since the best one.
  package var evaluationsSinceBest = 0
  /// Tokens that the last evaluation looked at.
  package var evaluatedTokens: Int?
  /// In fp16, else nil.
  package var lossScale: LossScale?
  /// Updates that were skipped: steps that changed no weight.
  package var skippedUpdates = 0
  package var spikes = SpikeGuard()
  /// How often the run went back to a good checkpoint: each time with another order of the data and half the rate.
  package var rollbacks = 0
  /// What the run learns from: what a resume must find again (``RunInputs``).
  package var inputs = RunInputs()
  /// What executors have chosen by timing (``Executor/choices``).
  package var choices: [String: String] = [:]

  package init() {}

  var json: JSON {
    var chosen = JSONObject()
    for (name, value) in choices.sorted(by: { $0.key < $1.key }) { chosen[name] = .string(value) }
    return [
      "step": .integer(Int64(step)), "rows": .integer(Int64(rows)), "tokens": .integer(Int64(tokens)),
      "micro_steps": .integer(Int64(microSteps)), "elapsed_seconds": .number(elapsed),
      "warmup_end": warmupEnd.map { .number($0) } ?? .null, "best_loss": bestLoss.map { .number($0) } ?? .null,
      "evaluations_since_best": .integer(Int64(evaluationsSinceBest)),
      "evaluated_tokens": evaluatedTokens.map { JSON($0) } ?? .null,
      "loss_scale": lossScale.map { .number(Double($0.value)) } ?? .null,
      "finite_updates": lossScale.map { .integer(Int64($0.finiteUpdates)) } ?? .null,
      "skipped_updates": .integer(Int64(skippedUpdates)), "choices": .object(chosen),
      "spikes": spikes.json, "rollbacks": JSON(rollbacks), "inputs": inputs.json,
    ]
  }

  init(json: JSON, path: String) throws(FormatError) {
    guard let step = json["step"]?.int, let rows = json["rows"]?.int, let tokens = json["tokens"]?.int,
      let microSteps = json["micro_steps"]?.int, let elapsed = json["elapsed_seconds"]?.double,
      // No run gets that far, and counting on from there doesn't overflow.
      [step, rows, tokens, microSteps].allSatisfy({ (0..<1 << 60).contains($0) }), (0..<1e12).contains(elapsed)
    else {
      throw .content(path: path, problem: "expected step, rows, tokens, micro_steps and elapsed_seconds")
    }
    (self.step, self.rows, self.tokens, self.microSteps, self.elapsed) = (step, rows, tokens, microSteps, elapsed)
    warmupEnd = json["warmup_end"]?.double
    bestLoss = json["best_loss"]?.double
    // Checkpoints of earlier versions don't have what follows.
    evaluationsSinceBest = max(0, min(json["evaluations_since_best"]?.int ?? 0, 1 << 40))
    evaluatedTokens = json["evaluated_tokens"]?.int
    skippedUpdates = max(0, min(json["skipped_updates"]?.int ?? 0, step))
    rollbacks = max(0, min(json["rollbacks"]?.int ?? 0, 1000))
    inputs = RunInputs(json: json["inputs"])
    if let found = json["spikes"] {
      guard let guarded = SpikeGuard(json: found) else {
        throw .content(path: path, problem: "spikes is not what a training leaves")
      }
      spikes = guarded
    }
    if let chosen = json["choices"]?.object {
      for name in chosen.keys { choices[name] = chosen[name]?.string }
    }
    if let value = json["loss_scale"]?.double, let finiteUpdates = json["finite_updates"]?.int {
      guard let scale = LossScale(value: Float(value), finiteUpdates: finiteUpdates) else {
        throw .content(path: path, problem: "loss_scale and finite_updates are not what a training leaves")
      }
      lossScale = scale
    }
  }
}

/// A checkpoint: a Hugging Face folder that also holds the optimizer's moments and the trainer's state.
package enum Checkpoint {
  static let optimizerName = "optimizer.safetensors"
  static let stateName = "trainer.json"
  private static let moments: [(prefix: String, buffer: ParameterBuffer)] = [
    ("exp_avg.", .firstMoment), ("exp_avg_sq.", .secondMoment),
  ]

  /// Writes a checkpoint; it is whole or not there.
  ///
  /// - Throws: ``FormatError``.
  package static func write(
    to path: String, config: ModelConfig, tokenizer: Tokenizer?, chatTemplate: ChatTemplate? = nil,
    store: any ParameterSource, state: TrainerState
  ) throws {
    let folder = try StagedFolder(path: path, replacing: true)
    try ModelFolder.write(
      config, weights: store, tokenizer: tokenizer, chatTemplate: chatTemplate, into: folder)
    let trainable = store.layout.entries.filter(\.isTrainable)
    let writer = try SafetensorsWriter(
      path: folder.file(optimizerName),
      tensors: moments.flatMap { moment in
        trainable.map { SafetensorsWriter.Tensor(moment.prefix + $0.name, .float32, $0.shape.dimensions) }
      })
    for moment in moments {
      for entry in trainable { try writer.append(moment.prefix + entry.name, try store.read(moment.buffer, entry)) }
    }
    try writer.commit()
    try FileSystem.write(state.json.serialized(pretty: true) + "\n", to: folder.file(stateName))
    try Manifest.write(for: folder.workPath)
    // What was written is what was meant, before it gets its name.
    try Manifest.verify(folder.workPath)
    try folder.commit(replacing: true)
  }

  /// Reads weights, moments and state back into a store of the same layout.
  ///
  /// - Throws: ``FormatError``, ``ModelError``.
  package static func read(_ folder: ModelFolder, into store: any ParameterStore) throws -> TrainerState {
    try folder.load(into: store)
    let optimizer = try SafetensorsFile(path: Path.join(folder.path, optimizerName))
    for moment in moments {
      for entry in store.layout.entries where entry.isTrainable {
        let values = try optimizer.floats(moment.prefix + entry.name)
        guard values.count == entry.shape.count else {
          throw ModelError.tensor(
            name: moment.prefix + entry.name, expected: "\(entry.shape)", found: "\(values.count) elements",
            file: optimizer.path)
        }
        try store.write(moment.buffer, entry, values)
      }
    }
    return try state(of: folder)
  }

  /// Where the training stood.
  ///
  /// - Throws: ``FormatError``.
  package static func state(of folder: ModelFolder) throws -> TrainerState {
    let path = Path.join(folder.path, stateName)
    return try TrainerState(json: FileSystem.readJSON(path), path: path)
  }
}

extension TrainerState {
  /// Where the run is in its data.
  package var place: DataPlace { DataPlace(row: rows, order: rollbacks) }
}

extension ParameterStore {
  /// Sets the optimizer's moments to zero, as in the beginning.
  func clearMoments() throws(ComputeError) {
    for entry in layout.entries {
      let zeros = [Float](repeating: 0, count: entry.shape.count)
      for buffer in [ParameterBuffer.firstMoment, .secondMoment] { try write(buffer, entry, zeros) }
    }
  }
}
