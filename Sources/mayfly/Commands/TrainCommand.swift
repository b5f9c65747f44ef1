import ArgumentParser
import Formats
import Models
import Training

/// Trains a model.
struct Train: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Train a model on text, within a time budget or for a number of steps.")

  @Option(help: "Prepared data, token shards, or text, which is prepared first.")
  var data: String

  @Option(help: "The run's folder (default: runs/NAME-N).")
  var out: String?

  @Option(help: "A named model size; see the README.")
  var preset: String?

  @Option(help: "A file of settings, as run.yaml.")
  var config: String?

  @Option(help: "Begin with the weights of this model instead of random ones.")
  var initFrom: String?

  @Option(help: "auto, fp32, bf16 or fp16.")
  var precision: String?

  @OptionGroup var options: RunOptions

  @OptionGroup var device: DeviceOptions

  func validate() throws {
    if out?.isEmpty == true { throw ValidationError("--out: expected the name of a folder") }
  }

  func run() throws {
    var request = TrainingRun.Request(data: data)
    request.out = out
    request.preset = preset
    request.initFrom = initFrom
    request.resumes = options.resume
    if let config {
      let text = String(decoding: try FileSystem.read(config), as: UTF8.self)
      try request.overrides.add(yaml: text, file: config)
    }
    try options.add(to: &request.overrides)
    if let precision { try request.overrides.add("train.precision", precision) }
    let run = try TrainingRun(request, device)
    try run.start()
    Log.line("\nThe model is in \(run.folder.path). Try it:")
    if run.settings.model.isBidirectional {
      Log.line("  mayfly score \(run.folder.path) --text \"… \(run.maskText ?? "[MASK]") …\"")
    } else {
      Log.line("  mayfly generate \(run.folder.path) --prompt \"…\"")
    }
  }
}
