import ArgumentParser
import Corpus
import Formats
import Training

/// Teaches a trained model a task.
struct Finetune: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Teach a model a task from examples of prompts and answers.")

  @Argument(help: "A run, a checkpoint or a Hugging Face folder.")
  var model: String

  @Option(help: "qa or summarize.")
  var task: String

  @Option(help: "Examples: a .jsonl or .csv file.")
  var data: String

  @Option(help: "The run's folder.")
  var out: String

  @Option(help: "Examples to measure by; without it, a tenth of the data is held out.")
  var val: String?

  @Option(help: "Passes over the data (default: 3, unless --steps or --budget is given).")
  var epochs: Int?

  @Option(help: "Updates in all, resumed ones included.")
  var steps: Int?

  @Option(help: "How long it may take: 90s, 10m, 24h.")
  var budget: String?

  @Option(
    name: .customLong("set"), parsing: .unconditionalSingleValue, help: "A setting, as key=value; may be given again.")
  var settings: [String] = []

  @Flag(help: "Go on with a run that was stopped.")
  var resume = false

  @Option(help: "Seed of everything random.")
  var seed: UInt64?

  @OptionGroup var device: DeviceOptions

  func validate() throws {
    if out.isEmpty { throw ValidationError("--out: expected the name of a folder") }
    if !["classify", "qa", "summarize", "chat", "similarity"].contains(task) {
      throw ValidationError("--task \(task): expected qa or summarize")
    }
    if let budget, parseDuration(budget) == nil {
      throw ValidationError("--budget \(budget): expected a duration as 90s, 10m, 1h30m or 24h")
    }
    if let steps, steps < 1 { throw ValidationError("--steps \(steps): expected at least 1") }
    if let epochs, !(1...1_000_000).contains(epochs) {
      throw ValidationError("--epochs \(epochs): expected 1 to 1000000")
    }
    if [epochs != nil, steps != nil].count(where: \.self) > 1 {
      throw ValidationError("--epochs and --steps: give one of them")
    }
  }

  func run() throws {
    guard let kind = TaskKind(rawValue: task), [.qa, .summarize].contains(kind) else {
      throw CommandError("--task \(task): not built yet; available: qa, summarize", exitCode: ContractExit.usage)
    }
    var request = FinetuneRun.Request(model: model, kind: kind, data: data, out: out)
    request.val = val
    request.epochs = epochs
    request.resumes = resume
    for assignment in settings { try request.overrides.add(assignment: assignment) }
    if let seed { try request.overrides.add("train.seed", "\(seed)") }
    if let steps { try request.overrides.add("train.steps", "\(steps)") }
    if let seconds = budget.flatMap(parseDuration) { try request.overrides.add("train.budget", "\(seconds)") }
    try FinetuneRun(request, device).start()
    Log.line("\nThe model is in \(out). Try it:")
    Log.line("  mayfly generate \(out) --prompt \"…\"")
  }
}
