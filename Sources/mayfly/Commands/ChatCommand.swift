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
      A line is a message; /new begins anew, /quit or Ctrl-D ends. Ctrl-C stops an answer, or ends with exit code 130 where \
      none is written. Without a terminal, the lines of stdin are the messages and stdout has the answers alone.
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
    var generator: Generator?
    Interruption.watch()
    while true {
      if isTerminal { Log.write("> ") }
      guard let line = readLine() else {
        if isTerminal { Log.line("") }
        break
      }
      if line.allSatisfy(\.isWhitespace) { continue }
      if line == "/quit" { break }
      if line == "/new" {
        (history, generator) = ([], nil)
        continue
      }
      history.append(ChatMessage(role: "user", content: line))
      let ids = try fit(&history, behind: instructions, template, tokenizer, model.config.maxPositions)
      let room = min(maxTokens, model.config.maxPositions - ids.count)
      let ready = try writer(generator, longest: ids.count + room, model, template)
      generator = ready
      Interruption.clear()
      var begins = true
      let result = try ready.generate(prompt: model.checked(ids), maxTokens: room, options: sampling.options) { text in
        // A space stands between a template's words and the answer.
        let shown = begins ? text.drop(while: \.isWhitespace) : text[...]
        begins = begins && shown.isEmpty
        try Output.write(ofModel: String(shown))
        return !Interruption.isAsked
      }
      Interruption.finish()
      try Output.line("")
      history.append(ChatMessage(role: "assistant", content: result.text.trimmingCharacters(in: .whitespaces)))
    }
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

  /// One session for the whole conversation, which has read the turns before; where they outgrow it, another one of
  /// twice the size.
  private func writer(
    _ ready: Generator?, longest: Int, _ model: LoadedModel, _ template: ChatTemplate
  ) throws -> Generator {
    if let ready, ready.session.capacity >= longest { return ready }
    // What ends an answer: the template's own mark, where it has one.
    let end = template.specialTokens["eos_token"].flatMap { model.tokenizer?.id(ofAddedToken: $0) }
    return try model.generator(longest: 2 * longest, endOfText: end)
  }
}

/// Ctrl-C while an answer is written stops the answer; otherwise it ends the program.
private enum Interruption {
  private static let asked = Atomic<Bool>(false)
  private static let isAnswering = Atomic<Bool>(false)

  static func watch() {
    signal(SIGINT) { _ in
      if !Interruption.isAnswering.load(ordering: .relaxed) {
        // The shell's prompt goes below ours.
        var newline = UInt8(ascii: "\n")
        if isatty(STDERR_FILENO) == 1 { _ = write(STDERR_FILENO, &newline, 1) }
        _exit(130)
      }
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
