import ArgumentParser
import Corpus
import Formats
import Training

/// Teaches a trained model a task.
struct Finetune: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Teach a model a task from examples: prompts and answers, or conversations.")

  @Argument(help: "A run, a checkpoint or a Hugging Face folder.")
  var model: String

  @Option(help: "qa, summarize, chat or classify.")
  var task: String

  @Option(help: "Examples: a .jsonl or .csv file.")
  var data: String

  @Option(help: "The run's folder.")
  var out: String

  @Option(help: "Examples to measure by; without it, a tenth of the data is held out.")
  var val: String?

  @Option(help: "Passes over the data (default: 3, unless --steps or --budget is given).")
  var epochs: Int?

  @OptionGroup var options: RunOptions

  @OptionGroup var device: DeviceOptions

  func validate() throws {
    if out.isEmpty { throw ValidationError("--out: expected the name of a folder") }
    if !["classify", "qa", "summarize", "chat", "similarity"].contains(task) {
      throw ValidationError("--task \(task): expected qa, summarize, chat or classify")
    }
    if let epochs, !(1...1_000_000).contains(epochs) {
      throw ValidationError("--epochs \(epochs): expected 1 to 1000000")
    }
    if epochs != nil, options.steps != nil {
      throw ValidationError("--epochs and --steps: give one of them")
    }
  }

  func run() throws {
    guard let kind = TaskKind(rawValue: task), FinetuneRun.kinds.contains(kind) else {
      throw CommandError(
        "--task \(task): not built yet; available: \(FinetuneRun.kinds.map(\.rawValue).joined(separator: ", "))",
        exitCode: ContractExit.usage)
    }
    var request = FinetuneRun.Request(model: model, kind: kind, data: data, out: out)
    request.val = val
    request.epochs = epochs
    request.resumes = options.resume
    request.dashboard = options.dashboard
    request.allowsChanges = options.allowChanges
    try options.add(to: &request.overrides)
    try FinetuneRun(request, device).start()
    Log.line("\nThe model is in \(out). Try it:")
    switch kind {
    case .classify: Log.line("  mayfly score \(out) --text \"…\"")
    case .chat: Log.line("  mayfly chat \(out)")
    default: Log.line("  mayfly generate \(out) --prompt \"…\"")
    }
  }
}
