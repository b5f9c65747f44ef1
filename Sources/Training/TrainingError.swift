import Formats

package enum TrainingError: ContractError, Equatable {
  /// The run went wrong once more than it may go back.
  case diverged(step: Int, what: String, rollbacks: Int, checkpoint: String?)
  /// There is a run already, and nobody asked to go on with it.
  case runExists(path: String)
  case noStopGiven
  /// A resumed run was given something that differs from what it began with.
  case changed(what: String, was: String, now: String, canBeAllowed: Bool = true)

  package var exitCode: Int32 {
    switch self {
    case .diverged: ContractExit.failed
    case .noStopGiven: ContractExit.usage
    case .runExists: ContractExit.output
    case .changed: ContractExit.data
    }
  }

  package var description: String {
    switch self {
    case .diverged(let step, let what, let rollbacks, let checkpoint):
      "the training diverged at step \(step): \(what), after going back \(rollbacks) \(rollbacks == 1 ? "time" : "times") "
        + "(train.max_rollbacks); lower train.learning_rate or lengthen train.warmup_steps, and begin anew"
        + (checkpoint.map { "; the last good checkpoint is \($0)" } ?? "; no checkpoint was good")
    case .runExists(let path):
      "\(path): is a run already; go on with it by --resume, or choose another folder with --out"
    case .noStopGiven: "say when to stop: --budget 10m or --steps 1000"
    case .changed(let what, let was, let now, let canBeAllowed):
      "--resume: \(what) was \(was) and is now \(now); a resumed run goes on as it began"
        + (canBeAllowed ? " unless --allow-changes is given" : ": begin a new one with another --out")
    }
  }
}
