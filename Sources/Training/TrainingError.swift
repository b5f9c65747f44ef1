import Formats

package enum TrainingError: ContractError, Equatable {
  /// The loss or the gradient norm is no number any more.
  case diverged(step: Int, what: String)
  /// The training split is shorter than one row.
  case tooLittleData(tokens: Int, context: Int)
  /// There is a run already, and nobody asked to go on with it.
  case runExists(path: String)
  case noStopGiven
  /// A resumed run was given something that differs from what it began with.
  case changed(what: String, was: String, now: String)
  /// Ids in the data that the model has no embedding for.
  case vocabulary(data: Int, model: Int)
  case budgetTooShort(seconds: Double, needed: Double)

  package var exitCode: Int32 {
    switch self {
    case .diverged: ContractExit.failed
    case .noStopGiven: ContractExit.usage
    case .runExists: ContractExit.output
    case .tooLittleData, .changed, .vocabulary, .budgetTooShort: ContractExit.data
    }
  }

  package var description: String {
    switch self {
    case .diverged(let step, let what):
      "the training diverged at step \(step): \(what); lower train.learning_rate, lengthen train.warmup_steps, "
        + "or resume from the last checkpoint with --resume"
    case .tooLittleData(let tokens, let context):
      "the training split has \(tokens) tokens; one row needs \(context + 1): give more text or a smaller train.context"
    case .runExists(let path):
      "\(path): is a run already; go on with it by --resume, or choose another folder with --out"
    case .noStopGiven: "say when to stop: --budget 10m or --steps 1000"
    case .changed(let what, let was, let now):
      "--resume: \(what) was \(was) and is now \(now); a resumed run goes on as it began"
    case .vocabulary(let data, let model):
      "the data has ids up to \(data - 1), the model only \(model) tokens; use the model's own tokenizer"
    case .budgetTooShort(let seconds, let needed):
      "a budget of \(formatDuration(seconds)) is too short: the end evaluation and the checkpoint alone need "
        + "about \(formatDuration(needed.rounded(.up)))"
    }
  }
}
