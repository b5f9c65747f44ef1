import ArgumentParser
import Formats
import Models
import Serving
import Training

/// Trains a model.
struct Train: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Train a model on text, within a time budget or for a number of steps.")

  @Option(
    help: """
      Prepared data, token shards, or text, which is prepared first. Given again, it mixes data sets (--set \
      data.weights=[0.7,0.3]).
      """)
  var data: [String]

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

  enum Next: String, ExpressibleByArgument, CaseIterable { case serve }

  @Option(help: "What to do with the model when the training is over: serve.")
  var then: Next?

  @Option(help: "With --then serve: the address to listen on.")
  var host: String?

  @Option(help: "With --then serve: the port to listen on.")
  var port: Int?

  @OptionGroup var options: RunOptions

  @OptionGroup var device: DeviceOptions

  func validate() throws {
    if out?.isEmpty == true { throw ValidationError("--out: expected the name of a folder") }
    if then == nil, host != nil || port != nil { throw ValidationError("--host and --port: only with --then serve") }
    _ = try serveOptions()
  }

  private func serveOptions() throws -> ServeOptions {
    var options = try ServeOptions.parse([])
    if let host { options.host = host }
    if let port { options.port = port }
    try options.validate()
    return options
  }

  func run() throws {
    if then == .serve {
      let options = try serveOptions()
      try AddressCheck.run(host: options.host, port: options.port)
    }
    let (folder, attempt) = try train()
    guard then == .serve else {
      Log.line("\nThe model is in \(folder). Try it:")
      Log.line("  \(attempt)")
      return
    }
    // One that came at the very end of the training.
    if let signal = Signals.stop { throw Stopped(signal: signal) }
    Signals.unwatch()
    Log.line("\nThe model is in \(folder). It is served from here on; Ctrl-C ends that.")
    try serveOptions().serve(LoadedModel(folder, device), path: folder)
  }

  /// Trains to the end; what that held in memory is free again then.
  ///
  /// - Returns: the run's folder, and how to try the model.
  private func train() throws -> (folder: String, attempt: String) {
    var request = TrainingRun.Request(data: data)
    request.out = out
    request.preset = preset
    request.initFrom = initFrom
    request.resumes = options.resume
    request.dashboard = options.dashboard
    request.allowsChanges = options.allowChanges
    if let config {
      let text = String(decoding: try FileSystem.read(config), as: UTF8.self)
      try request.overrides.add(yaml: text, file: config)
    }
    try options.add(to: &request.overrides)
    if let precision { try request.overrides.add("train.precision", precision) }
    let run = try TrainingRun(request, device)
    try run.start()
    let folder = run.folder.path
    let attempt =
      run.settings.model.isBidirectional
      ? "score \(folder) --text \"… \(run.maskText ?? "[MASK]") …\"" : "generate \(folder) --prompt \"…\""
    return (folder, "mayfly \(attempt)")
  }
}
