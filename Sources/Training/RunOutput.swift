import Compute
import Formats
import Models
import Tokenization

/// What a run leaves in its folder: the log, samples, checkpoints.
///
/// Where nothing can be written, as on a full disk, it says so once and the run goes on; a checkpoint that can be written
/// again ends the trouble.
final class RunOutput {
  let folder: RunFolder
  private let config: ModelConfig
  private let keeping: Int
  private let tokenizer: Tokenizer?
  private let chatTemplate: ChatTemplate?
  private let observe: (TrainingEvent) -> Void
  private let writer: CheckpointWriter
  private var log: MetricsLog
  /// The step of the checkpoint that this process has read, or has begun to write, last.
  private var savedStep: Int?
  /// Where the run is, for whoever is told of a failure.
  private var step: Int
  /// Why something couldn't be written when it was tried last.
  private var failure: FormatError?

  /// - Parameters:
  ///   - step: where the run goes on; 0: it begins.
  ///   - layout: of the tensors that checkpoints have.
  ///   - chatTemplate: goes into the checkpoints of models for conversations.
  /// - Throws: ``FormatError``.
  init(
    _ folder: RunFolder, _ settings: Settings, step: Int, layout: TensorLayout, tokenizer: Tokenizer?,
    chatTemplate: ChatTemplate?, observe: @escaping (TrainingEvent) -> Void
  ) throws(FormatError) {
    self.folder = folder
    self.step = step
    self.tokenizer = tokenizer
    self.chatTemplate = chatTemplate
    self.observe = observe
    config = settings.model
    keeping = settings.train.keepCheckpoints
    savedStep = step > 0 ? step : nil
    writer = CheckpointWriter(layout)
    log = try MetricsLog(path: folder.metricsPath, keepingUntil: step)
  }

  /// Tells whoever watches what happens, and puts it on record.
  func tell(_ event: TrainingEvent) throws {
    if case .step(let metrics) = event { step = metrics.step }
    observe(event)
    if let line = event.line { try goingOn { try log.append(line) } }
  }

  func flush() throws {
    try goingOn { try log.flush() }
  }

  func write(sample text: String, step: Int) throws {
    let name = Path.name(folder.checkpointPath(step: step)) + ".txt"
    try goingOn { try FileSystem.write(text + "\n", to: Path.join(folder.samplesPath, name)) }
  }

  /// Ends the work of a process, also of one that fails: what has happened is on record, and no checkpoint is left half.
  func close() {
    _ = writer.takeOutcomes(waiting: true)
    try? log.synchronize()
  }

  // MARK: Checkpoints

  /// Begins to write a checkpoint; one that is under way is finished first.
  ///
  /// - Returns: the seconds that checkpoints took which are there since this was called last.
  /// - Throws: what the device does when it is read.
  func save(_ state: TrainerState, from store: any ParameterStore, isBest: Bool) throws -> [Double] {
    var seconds = try takeSaves(waiting: true)
    do {
      // First: whoever resumes from this checkpoint must find every line up to it.
      try log.synchronize()
    } catch {
      note(error)
      return seconds
    }
    let job = CheckpointWriter.Job(
      folder: folder, config: config, tokenizer: tokenizer, chatTemplate: chatTemplate, state: state,
      isNew: savedStep != state.step, isBest: isBest, keeping: keeping)
    savedStep = state.step
    try writer.begin(job, from: store)
    seconds += try takeSaves(waiting: false)
    return seconds
  }

  /// Takes note of what has become of checkpoints.
  ///
  /// - Returns: the seconds that each took.
  func takeSaves(waiting: Bool) throws -> [Double] {
    let outcomes = writer.takeOutcomes(waiting: waiting)
    for outcome in outcomes {
      if let error = outcome.error {
        if savedStep == outcome.step { savedStep = nil }
        // Reading what was written is a part of writing it.
        guard let error = error as? FormatError else { throw error }
        note(
          error.exitCode == ContractExit.output
            ? error : .unwritable(path: folder.checkpointPath(step: outcome.step), reason: "\(error)"))
      } else {
        failure = nil
        try tell(.saved(step: outcome.step, path: folder.checkpointPath(step: outcome.step)))
      }
    }
    return outcomes.map(\.seconds)
  }

  /// Makes sure that the last checkpoint is there, without which the run isn't done.
  func requireSaved() throws {
    if let failure { throw failure }
  }

  /// Forgets what came after a step, to which the run goes back.
  ///
  /// - Parameter isSaved: whether there is a checkpoint of it.
  func rewind(to step: Int, isSaved: Bool) throws {
    self.step = step
    savedStep = isSaved ? step : nil
    try goingOn {
      try log.flush()
      log = try MetricsLog(path: folder.metricsPath, keepingUntil: step, goesOn: true)
    }
  }

  // MARK: Failures

  /// Does what writes; where nothing can be written, says so once and goes on.
  func goingOn(_ write: () throws -> Void) throws {
    do {
      try write()
    } catch let error as FormatError where error.exitCode == ContractExit.output {
      note(error)
    }
  }

  private func note(_ error: FormatError) {
    if failure == nil { observe(.outputFailed(step: step, error)) }
    failure = error
  }
}
