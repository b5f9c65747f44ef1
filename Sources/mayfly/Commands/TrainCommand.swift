import ArgumentParser
import Formats
import Training

/// Trains a model.
struct Train: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Train a model on text, within a time budget or for a number of steps.")

  @Option(help: "Prepared data, token shards, or text, which is prepared first.")
  var data: String

  @Option(help: "How long it may take: 90s, 10m, 24h.")
  var budget: String?

  @Option(help: "Updates in all, resumed ones included.")
  var steps: Int?

  @Option(help: "The run's folder (default: runs/NAME-N).")
  var out: String?

  @Option(help: "A named model size; see the README.")
  var preset: String?

  @Option(help: "A file of settings, as run.yaml.")
  var config: String?

  @Option(
    name: .customLong("set"), parsing: .unconditionalSingleValue, help: "A setting, as key=value; may be given again.")
  var settings: [String] = []

  @Option(help: "Begin with the weights of this model instead of random ones.")
  var initFrom: String?

  @Flag(help: "Go on with a run that was stopped.")
  var resume = false

  @Option(help: "auto, fp32, bf16 or fp16.")
  var precision: String?

  @Option(help: "Seed of everything random.")
  var seed: UInt64?

  @OptionGroup var device: DeviceOptions

  func validate() throws {
    if out?.isEmpty == true { throw ValidationError("--out: expected the name of a folder") }
    if let budget, parseDuration(budget) == nil {
      throw ValidationError("--budget \(budget): expected a duration as 90s, 10m, 1h30m or 24h")
    }
    if let steps, steps < 1 { throw ValidationError("--steps \(steps): expected at least 1") }
  }

  func run() throws {
    var request = TrainingRun.Request(data: data)
    request.out = out
    request.preset = preset
    request.initFrom = initFrom
    request.resumes = resume
    if let config {
      let text = String(decoding: try FileSystem.read(config), as: UTF8.self)
      try request.overrides.add(yaml: text, file: config)
    }
    for assignment in settings { try request.overrides.add(assignment: assignment) }
    if let precision { try request.overrides.add("train.precision", precision) }
    if let seed { try request.overrides.add("train.seed", "\(seed)") }
    if let steps { try request.overrides.add("train.steps", "\(steps)") }
    if let seconds = budget.flatMap(parseDuration) { try request.overrides.add("train.budget", "\(seconds)") }
    let run = try TrainingRun(request, device)
    try run.start()
    Log.line("\nThe model is in \(run.folder.path). Try it:")
    Log.line("  mayfly generate \(run.folder.path) --prompt \"…\"")
  }
}
