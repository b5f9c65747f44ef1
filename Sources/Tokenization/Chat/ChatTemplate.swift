package import Formats

/// How a conversation becomes the text that a model reads: a template in Jinja, as Hugging Face's folders have it.
///
/// The default is plain words, so that no vocabulary has to grow:
///
///     System: Be brief.
///     User: Hello
///     Assistant: Hi!<|endoftext|>
///
/// The end-of-text token ends every answer. Words alone mark the turns, so a user's text can imitate a marker; it can't
/// imitate the end of an answer, since special tokens in messages are text.
package struct ChatTemplate: Sendable {
  /// The file beside a checkpoint's weights in which Hugging Face's libraries look for it.
  package static let fileName = "chat_template.jinja"
  package static let `default` = ChatTemplate(
    source: """
      {%- for message in messages %}
      {%- if message['role'] == 'system' %}{{ 'System: ' + message['content'] + '\\n' }}
      {%- elif message['role'] == 'user' %}{{ 'User: ' + message['content'] + '\\n' }}
      {%- elif message['role'] == 'assistant' %}{{ 'Assistant:' }}
      {%- generation %}{{ ' ' + message['content'] | trim + eos_token }}{% endgeneration %}{{ '\\n' }}
      {%- else %}{{ raise_exception('unknown role ' + message['role'] + '; expected system, user or assistant') }}
      {%- endif %}
      {%- endfor %}
      {%- if add_generation_prompt %}{{ 'Assistant:' }}{%- endif %}
      """)

  package let source: String
  /// Names that the template may use and their tokens: bos_token, eos_token, …
  package let specialTokens: [String: String]
  /// Seconds since 1970 for templates that write the date; nil: they do without.
  package var time: Int?
  private let syntax: Result<(body: [JinjaStatement], hasGeneration: Bool), JinjaError>

  /// A template that is broken says so when it renders.
  package init(source: String, specialTokens: [String: String] = [:]) {
    self.source = source
    self.specialTokens = specialTokens
    do {
      syntax = .success(try JinjaParser.parse(source))
    } catch {
      syntax = .failure(error)
    }
  }

  /// The template of a Hugging Face folder: `chat_template.jinja`, else that of tokenizer_config.json (of several, the
  /// one named `default`); nil if there is none.
  ///
  /// - Throws: ``TokenizationError`` where a file can't be read or the template is broken.
  package static func load(folder: String) throws(TokenizationError) -> ChatTemplate? {
    let path = Path.join(folder, fileName)
    let configPath = Path.join(folder, "tokenizer_config.json")
    var source: String?
    var config = JSON.null
    do {
      if FileSystem.isFile(path) { source = String(decoding: try FileSystem.read(path), as: UTF8.self) }
      if FileSystem.isFile(configPath) { config = try FileSystem.readJSON(configPath) }
    } catch {
      throw .file(error)
    }
    let found = source == nil ? configPath : path
    let inConfig = config["chat_template"]
    source =
      source ?? inConfig?.string
      ?? inConfig?.array?.first { $0["name"]?.string == "default" }?["template"]?.string
    guard let source else { return nil }
    var tokens: [String: String] = [:]
    for (key, value) in config.object ?? JSONObject() where key.hasSuffix("_token") {
      tokens[key] = value.string ?? value["content"]?.string
    }
    let template = ChatTemplate(source: source, specialTokens: tokens)
    if case .failure(let error) = template.syntax { throw .inFile(path: found, TokenizationError(error)) }
    return template
  }

  // MARK: Rendering

  /// Whether the template itself marks what is learned.
  var marksAnswers: Bool { (try? syntax.get().hasGeneration) ?? false }

  /// The conversation as one text; with `addGenerationPrompt`, up to where the next answer begins.
  ///
  /// - Parameter endOfText: the eos_token, where the template's folder names none.
  /// - Throws: ``TokenizationError/template(line:problem:)``, ``TokenizationError/refused(_:)``.
  package func render(
    _ messages: [ChatMessage], addGenerationPrompt: Bool, endOfText: String
  ) throws(TokenizationError) -> String {
    try render(messages.map(\.json), addGenerationPrompt: addGenerationPrompt, endOfText: endOfText)
  }

  /// The same for messages with any fields.
  ///
  /// - Parameter variables: more that the template may use, such as tools.
  package func render(
    _ messages: [JSON], addGenerationPrompt: Bool, endOfText: String, variables: JSONObject = JSONObject()
  ) throws(TokenizationError) -> String {
    let variables = try self.variables(variables, endOfText: endOfText)
    return try run(messages, addGenerationPrompt, variables).text.string
  }

  func variables(_ given: JSONObject, endOfText: String) throws(TokenizationError) -> [String: JinjaValue] {
    var values: [String: JinjaValue] = ["eos_token": .string(endOfText), "tools": .none, "documents": .none]
    for (name, token) in specialTokens { values[name] = .string(token) }
    do {
      for (name, value) in given { values[name] = try JinjaValue(value) }
    } catch {
      throw TokenizationError(error)
    }
    return values
  }

  func run(
    _ messages: some Sequence<JSON>, _ addGenerationPrompt: Bool, _ variables: [String: JinjaValue]
  ) throws(TokenizationError) -> JinjaInterpreter.Result {
    do {
      var variables = variables
      variables["messages"] = try JinjaValue(.array(Array(messages)))
      variables["add_generation_prompt"] = .bool(addGenerationPrompt)
      return try JinjaInterpreter.run(syntax.get().body, variables: variables, time: time)
    } catch {
      throw TokenizationError(error)
    }
  }
}

extension ChatTemplate: Equatable {
  package static func == (a: ChatTemplate, b: ChatTemplate) -> Bool {
    a.source == b.source && a.specialTokens == b.specialTokens
  }
}

extension TokenizationError {
  init(_ error: JinjaError) {
    self = error.kind == .refusal ? .refused(error.text) : .template(line: error.line, problem: error.text)
  }
}
