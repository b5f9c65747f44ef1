import ArgumentParser
import Foundation
import Formats
import Models
import Serving
import Tokenization

/// How to serve, for every command that ends in serving.
struct ServeOptions: ParsableArguments {
  @Option(help: "The address to listen on; others than 127.0.0.1 let other machines in.")
  var host = ServingOptions().host

  @Option(help: "The port to listen on; 0: a free one.")
  var port = ServingOptions().port

  @Option(
    help: """
      Tokens that a prompt and its answer may have together; each takes memory (default: what the model takes, up to \
      \(ModelInfo.defaultContext)).
      """)
  var context: Int?

  @Option(help: "Requests that may wait; more are refused with status 429.")
  var queue = ServingOptions().queue

  @Option(help: "Bytes that a request may have (default: 1 MiB, more where the context needs it).")
  var maxBody: Int?

  @Option(help: "Connections at once; more wait to be accepted.")
  var maxConnections = ServingOptions().maxConnections

  @Option(help: "Seconds in which a request must have arrived and a client must take a part of its answer.")
  var timeout = ServingOptions().timeout

  @Option(help: "Seconds that running answers have to come to their end after a signal to stop.")
  var drain = ServingOptions().drainLimit

  @Option(help: "What clients call the model (default: the folder's name).")
  var modelName: String?

  @Option(help: "What clients must send as a bearer token (default: nothing).")
  var apiKey: String?

  @Option(help: "The origin of web pages that may use the API, * for all (default: none).")
  var cors: String?

  func validate() throws {
    func require(_ holds: Bool, _ message: String) throws { if !holds { throw ValidationError(message) } }
    try require(!host.isEmpty, "--host: expected an address")
    try require((0...65_535).contains(port), "--port \(port): expected 0 to 65535")
    try require(context ?? 1 >= 1, "--context \(context ?? 0): expected at least 1")
    try require((1...100_000).contains(queue), "--queue \(queue): expected 1 to 100000")
    try require(maxBody.map { (1...1 << 40).contains($0) } ?? true, "--max-body \(maxBody ?? 0): expected at least 1")
    try require((1...1_000_000).contains(maxConnections), "--max-connections \(maxConnections): expected 1 to 1000000")
    try require((1...86_400).contains(timeout), "--timeout \(timeout): expected 1 to 86400 seconds")
    try require((0...86_400).contains(drain), "--drain \(drain): expected 0 to 86400 seconds")
    try require(modelName?.isEmpty != true, "--model-name: expected a name")
    try require(apiKey?.isEmpty != true, "--api-key: expected a key")
    for value in [modelName, apiKey, cors].compactMap(\.self) {
      try require(
        value.utf8.allSatisfy { $0 >= 0x20 && $0 != 0x7F }, "\(value.debugDescription): has a control character")
    }
  }

  /// Serves a model until a signal stops it.
  ///
  /// - Parameter path: what the user named, after which the model is called.
  func serve(_ model: LoadedModel, path: String) throws {
    var options = ServingOptions()
    (options.host, options.port, options.queue, options.maxBody) = (host, port, queue, maxBody)
    (options.maxConnections, options.timeout, options.drainLimit) = (maxConnections, timeout, drain)
    options.corsOrigin = cors
    let key = ProcessInfo.processInfo.environment["MAYFLY_API_KEY"].flatMap { $0.isEmpty ? nil : $0 }
    options.apiKey = apiKey ?? key
    if let context, context > model.config.maxPositions {
      throw CommandError("--context \(context): \(path) takes \(model.config.maxPositions) tokens")
    }
    let name = modelName ?? URL(fileURLWithPath: path).standardizedFileURL.lastPathComponent
    let info = try ModelInfo(
      name: name.isEmpty ? "mayfly" : name, config: model.config, context: context, tokenizer: model.tokenizer,
      template: model.folder.chatTemplate() ?? .default, created: Int(Date().timeIntervalSince1970))
    if context == nil, info.context < model.config.maxPositions {
      let most = model.config.maxPositions
      Log.line("reads \(info.context) of the \(most) tokens that the model takes; --context asks for more")
    }
    let service = try ModelService(
      info, model.transformer, weights: model.weights, executor: model.executor, options: options, log: Log.line)
    try service.run()
  }
}
