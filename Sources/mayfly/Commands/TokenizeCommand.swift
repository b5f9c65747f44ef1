import ArgumentParser
import Formats
import Foundation
import Tokenization

/// Text to ids and back.
struct Tokenize: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Turn a file's text into token ids, or ids into text.",
    discussion: """
      The tokenizer may be byte-level BPE, SentencePiece's BPE (Llama 2, Mistral, Gemma) or WordPiece (BERT). The ids are \
      those of Hugging Face's encode with add_special_tokens=False, or True with --add-special-tokens. For --decode, the \
      file holds ids between spaces, commas or line ends, or what --json printed.
      """)

  @Argument(help: "A run, a model, a data set, or a tokenizer.json.")
  var source: String

  @Option(help: "The file with the text, or with the ids.")
  var file: String

  @Flag(help: "The file has ids; print their text.")
  var decode = false

  @Flag(help: "Put the special tokens around the text that the tokenizer.json says, as [CLS] and [SEP].")
  var addSpecialTokens = false

  @Flag(
    help: """
      The file has a conversation, {"messages": [{"role", "content"}]}, and may have add_generation_prompt and what \
      else the model's chat template uses.
      """)
  var chat = false

  @Flag(help: "Print one JSON document.")
  var json = false

  func run() throws {
    let tokenizer = try Tokenizer.load(path: Self.tokenizerPath(source))
    let bytes = try FileSystem.read(file)
    if decode {
      let text = tokenizer.decode(try Self.ids(in: bytes, of: file, below: tokenizer.vocabularySize))
      if json { try Output.line((["text": JSON(text)] as JSON).serialized()) } else { try Output.write(text) }
      return
    }
    if chat {
      try showConversation(tokenizer)
      return
    }
    let text = String(decoding: bytes, as: UTF8.self)
    if !text.utf8.elementsEqual(bytes) {
      Log.line("tokenize: note: \(file) isn't valid UTF-8; U+FFFD stands for what is not")
    }
    var ids = tokenizer.encode(text, specialTokens: true)
    if addSpecialTokens { ids = try tokenizer.addingSpecialTokens(to: ids) }
    if json {
      try Output.line((["ids": JSON(ids.map { JSON($0) })] as JSON).serialized())
    } else {
      try Output.line(ids.map(\.description).joined(separator: " "))
    }
  }

  /// The text and the ids of a conversation, and which of them `finetune` would teach.
  private func showConversation(_ tokenizer: Tokenizer) throws {
    let conversation = try FileSystem.readJSON(file)
    guard var variables = conversation.object, let messages = conversation["messages"]?.array else {
      throw CommandError("\(file): expected an object with the key \"messages\", a list")
    }
    let addsPrompt = variables["add_generation_prompt"]?.bool ?? false
    (variables["messages"], variables["add_generation_prompt"]) = (nil, nil)
    var template = try ChatTemplate.load(folder: Path.parent(Self.tokenizerPath(source))) ?? .default
    template.time = Int(Date().timeIntervalSince1970)
    let text = try template.render(
      messages, addGenerationPrompt: addsPrompt, endOfText: tokenizer.endOfTextContent ?? "", variables: variables)
    guard json else {
      try Output.write(text)
      return
    }
    func encode(learnsAnswers: Bool) throws(TokenizationError) -> ChatEncoding {
      try template.encode(
        messages, tokenizer: tokenizer, addGenerationPrompt: addsPrompt, learnsAnswers: learnsAnswers,
        variables: variables)
    }
    var (encoding, learned) = (try encode(learnsAnswers: false), JSON.null)
    do {
      encoding = try encode(learnsAnswers: true)
      learned = JSON(encoding.isLearned.map { JSON($0 ? 1 : 0) })
    } catch {
      guard case .unclearAnswer = error else { throw error }
    }
    try Output.json(["text": .string(text), "ids": JSON(encoding.ids.map { JSON($0) }), "learned": learned])
  }

  /// Where the tokenizer of what the user named is.
  static func tokenizerPath(_ source: String) throws -> String {
    let name = "tokenizer.json"
    switch FileSystem.kind(of: source) {
    case nil: throw FormatError.missing(path: source)
    case .file, .other:
      return Path.fileExtension(source) == "bin" ? Path.join(Path.parent(source), name) : source
    case .folder:
      // A run's own tokenizer is that of its checkpoints; before the first one, that of its data.
      for folder in ["checkpoints/latest", "", "data"] {
        let path = Path.join(folder.isEmpty ? source : Path.join(source, folder), name)
        if FileSystem.isFile(path) { return path }
      }
      throw CommandError(
        "\(source): no \(name) there: expected a run, a model or data with one; shards of ids alone can't be read "
          + "as text")
    }
  }

  private static func ids(in bytes: [UInt8], of path: String, below size: Int) throws -> [Int32] {
    let text = String(decoding: bytes, as: UTF8.self)
    var parts: [String]
    if let first = text.first(where: { !$0.isWhitespace }), first == "{" || first == "[" {
      let json = try FileSystem.readJSON(path)
      guard let values = (json["ids"] ?? json).array else {
        throw CommandError("\(path): expected ids, or an object with the key \"ids\", found \(json.kind)")
      }
      parts = values.map { $0.serialized() }
    } else {
      parts = text.split { $0.isWhitespace || $0 == "," }.map(String.init)
    }
    return try parts.map { part in
      guard let id = Int32(part), id >= 0, Int(id) < size else {
        throw CommandError("\(path): '\(part)' is no token id; expected numbers from 0 to \(size - 1)")
      }
      return id
    }
  }
}
