import ArgumentParser
import Formats
import Foundation
import Generation
import Models
import Synchronization
import Tokenization

/// A conversation in the terminal.
struct Chat: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Talk with a model.",
    discussion: """
      A line is a message; /new begins anew, /quit or Ctrl-D ends, Ctrl-C stops an answer. Without a terminal, the lines \
      of stdin are the messages and stdout has the answers alone.
      """)

  @Argument(help: "A run, a checkpoint or a Hugging Face folder.")
  var model: String

  @Option(parsing: .unconditional, help: "What the model is told before the conversation.")
  var system: String?

  @Option(help: "Tokens of an answer at most.")
  var maxTokens = 200

  @OptionGroup var sampling: SamplingArguments

  @OptionGroup var device: DeviceOptions

  func validate() throws {
    if maxTokens < 1 { throw ValidationError("--max-tokens \(maxTokens): expected at least 1") }
  }

  func run() throws {
    let model = try LoadedModel(model, device)
    let tokenizer = try model.requireTokenizer(for: "chat")
    var template = try model.folder.chatTemplate() ?? .default
    template.time = Int(Date().timeIntervalSince1970)
    let isTerminal = isatty(STDIN_FILENO) == 1
    let instructions = system.map { [ChatMessage(role: "system", content: $0)] } ?? []
    var history: [ChatMessage] = []
    Interruption.watch()
    while true {
      if isTerminal { Log.write("> ") }
      guard let line = readLine() else { break }
      if line.allSatisfy(\.isWhitespace) { continue }
      if line == "/quit" { break }
      if line == "/new" {
        history = []
        continue
      }
      history.append(ChatMessage(role: "user", content: line))
      let ids = try fit(&history, behind: instructions, template, tokenizer, model.config.maxPositions)
      Interruption.clear()
      let result = try model.generator(longest: ids.count + maxTokens, endOfText: end(template, tokenizer)).generate(
        prompt: try model.checked(ids), maxTokens: min(maxTokens, model.config.maxPositions - ids.count),
        options: sampling.options
      ) { text in
        try Output.write(text)
        return !Interruption.isAsked
      }
      Interruption.finish()
      try Output.line("")
      history.append(ChatMessage(role: "assistant", content: result.text.trimmingCharacters(in: .whitespaces)))
    }
    if isTerminal { Log.line("") }
  }

  /// The tokens of a conversation, whose oldest turns are left out until an answer has room.
  private func fit(
    _ history: inout [ChatMessage], behind instructions: [ChatMessage], _ template: ChatTemplate,
    _ tokenizer: Tokenizer, _ context: Int
  ) throws -> [Int32] {
    var leftOut = 0
    while true {
      let ids = try template.encode(instructions + history, tokenizer: tokenizer, addGenerationPrompt: true).ids
      let room = min(maxTokens, max(1, context / 4))
      if ids.count + room <= context || history.count == 1 {
        if leftOut > 0 { Log.line("note: the oldest \(leftOut) messages no longer fit and are left out") }
        guard ids.count < context else {
          throw CommandError("the message takes \(ids.count) of the model's \(context) tokens; shorten it")
        }
        return ids
      }
      // A question goes with its answer.
      let count = min(2, history.count - 1)
      history.removeFirst(count)
      leftOut += count
    }
  }

  /// What ends an answer: the template's own mark, where it has one.
  private func end(_ template: ChatTemplate, _ tokenizer: Tokenizer) -> Int32? {
    template.specialTokens["eos_token"].flatMap { tokenizer.id(ofAddedToken: $0) }
  }
}

/// Ctrl-C while an answer is written stops the answer; otherwise it ends the program.
private enum Interruption {
  private static let asked = Atomic<Bool>(false)
  private static let isAnswering = Atomic<Bool>(false)

  static func watch() {
    signal(SIGINT) { _ in
      if !Interruption.isAnswering.load(ordering: .relaxed) { _exit(130) }
      Interruption.asked.store(true, ordering: .relaxed)
    }
  }

  static func clear() {
    asked.store(false, ordering: .relaxed)
    isAnswering.store(true, ordering: .relaxed)
  }

  static var isAsked: Bool { asked.load(ordering: .relaxed) }

  static func finish() { isAnswering.store(false, ordering: .relaxed) }
}
