import ArgumentParser
import CArguments
import Foundation
import Training

struct Mayfly: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "mayfly",
    abstract: "A language model of your own, on one machine, in one day.",
    discussion: """
      From a folder of text to a model that you trained yourself:

        mayfly demo                                     Shakespeare, from nothing, in minutes
        mayfly prepare my-texts --out data              clean, split, tokenize
        mayfly train --data data --budget 1h --out run  the best model that an hour can buy
        mayfly generate run --prompt "Once upon a time"
      """,
    version: "0.1.0",
    subcommands: [
      Demo.self, Prepare.self, Plan.self, Train.self, Finetune.self, Eval.self, Score.self, Generate.self, Chat.self,
      Embed.self,
      Serve.self, Deploy.self, Health.self, Tokenize.self, Languages.self, Runs.self, Bench.self, Doctor.self,
    ])
}

@main
enum Main {
  static func main() {
    // Budgets count from here on.
    _ = RunClock.monotonic()
    StandardStreams.secure()
    do {
      var command = try Mayfly.parseAsRoot(arguments)
      try command.run()
    } catch {
      exit(Failure.report(error))
    }
  }

  /// What the program was told; nil: whatever Swift finds.
  private static var arguments: [String]? {
    guard let words = process_arguments() else { return nil }
    var arguments: [String] = []
    while let word = words[arguments.count] { arguments.append(String(cString: word)) }
    return Array(arguments.dropFirst())
  }
}
