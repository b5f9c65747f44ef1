import ArgumentParser
import Foundation
import Models
import Serving

/// A model as a service.
struct Serve: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Serve a model: an OpenAI-compatible API, and a page to chat with it.",
    discussion: """
      It runs until SIGTERM or Ctrl-C, takes no more requests then, ends those at hand and exits with 0; a second
      signal ends it at once. The key of --api-key can stand in MAYFLY_API_KEY instead, where no list of processes
      shows it.
      """)

  @Argument(help: "A run, a checkpoint or a Hugging Face folder.")
  var model: String

  @OptionGroup var options: ServeOptions

  @OptionGroup var device: DeviceOptions

  func run() throws {
    try options.serve(LoadedModel(model, device), path: model)
  }
}
