import Compute
import Dispatch
import Formats
import Models
import Synchronization
import Tokenization

/// Writes checkpoints on a thread of its own, from a copy, while training goes on; in place where there is no memory for
/// a copy. One at a time.
final class CheckpointWriter: Sendable {
  /// All of a checkpoint but the tensors, and what becomes of the run's folder with it.
  struct Job: Sendable {
    let folder: RunFolder
    let config: ModelConfig
    let tokenizer: Tokenizer?
    let chatTemplate: ChatTemplate?
    let state: TrainerState
    /// False: this step's checkpoint is there, and only the links change.
    var isNew = true
    let isBest: Bool
    let keeping: Int

    func write(from source: any ParameterSource) throws {
      if isNew {
        try Checkpoint.write(
          to: folder.checkpointPath(step: state.step), config: config, tokenizer: tokenizer, chatTemplate: chatTemplate,
          store: source, state: state)
      }
      try folder.link("latest", to: state.step)
      if isBest || folder.linkedStep("best") == nil { try folder.link("best", to: state.step) }
      try folder.prune(keeping: keeping)
    }
  }

  struct Outcome: Sendable {
    let step: Int
    let seconds: Double
    /// Nil: it is there.
    let error: (any Error)?
  }

  private let snapshot: Snapshot?
  private let clock = RunClock()
  private let queue = DispatchQueue(label: "mayfly.checkpoint-writer", qos: .utility)
  private let outcomes = Mutex<[Outcome]>([])

  /// Plans memory for the copy.
  init(_ layout: TensorLayout) {
    snapshot = try? Snapshot(layout)
  }

  /// Begins to write what is in `store` now; before, waits for the end of the one under way.
  ///
  /// - Throws: what the device does when it is read.
  func begin(_ job: Job, from store: any ParameterStore) throws {
    let start = clock.elapsed
    guard job.isNew, let snapshot else { return finish(job, from: store, start: start) }
    queue.sync {}
    try snapshot.copy(store)
    queue.async { self.finish(job, from: snapshot, start: start) }
  }

  private func finish(_ job: Job, from source: any ParameterSource, start: Double) {
    var failure: (any Error)?
    do { try job.write(from: source) } catch { failure = error }
    let outcome = Outcome(step: job.state.step, seconds: clock.elapsed - start, error: failure)
    outcomes.withLock { $0.append(outcome) }
  }

  /// What has become of checkpoints since this was asked last.
  ///
  /// - Parameter waiting: until none is under way.
  func takeOutcomes(waiting: Bool) -> [Outcome] {
    if waiting { queue.sync {} }
    return outcomes.withLock { outcomes in
      defer { outcomes = [] }
      return outcomes
    }
  }
}
