import Formats

package enum TrainingError: ContractError, Equatable {
  /// The loss or the gradient norm is no number any more.
  case diverged(step: Int, what: String)
  /// There is a run already, and nobody asked to go on with it.
  case runExists(path: String)
  case noStopGiven
  /// A resumed run was given something that differs from what it began with.
  case changed(what: String, was: String, now: String)

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
    case .diverged(let step, let what):
      "the training diverged at step \(step): \(what); lower train.learning_rate, lengthen train.warmup_steps, "
        + "or resume from the last checkpoint with --resume"
    case .runExists(let path):
      "\(path): is a run already; go on with it by --resume, or choose another folder with --out"
    case .noStopGiven: "say when to stop: --budget 10m or --steps 1000"
    case .changed(let what, let was, let now):
      "--resume: \(what) was \(was) and is now \(now); a resumed run goes on as it began"
    }
  }
}
