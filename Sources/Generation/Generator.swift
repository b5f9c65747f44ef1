package import Tokenization

/// What a generation gave.
package struct GenerationResult: Sendable {
  package enum FinishReason: String, Sendable {
    /// The model ended the document, or a stop text appeared.
    case stop
    /// As many tokens as asked for.
    case length
    /// Whoever listens had enough.
    case cancelled
  }

  package var text = ""
  package var ids: [Int32] = []
  package var finishReason = FinishReason.length
}

/// One token that was drawn, and the text that is certain with it.
package struct GenerationStep {
  /// Nil where only text that was held back comes.
  package let id: Int32?
  /// Whole characters, and nothing that may begin a stop text; often empty.
  package let text: String
  /// What the token was drawn from (V).
  package let logits: [Float]
}

/// Continues a prompt, token by token.
package struct Generator {
  package let session: KeyValueSession
  private let tokenizer: Tokenizer?
  private let endOfText: Int32?

  /// - Parameter tokenizer: nil gives ids without text.
  package init(_ session: KeyValueSession, tokenizer: Tokenizer?, endOfText: Int32?) {
    self.session = session
    self.tokenizer = tokenizer
    self.endOfText = endOfText
  }

  /// Generates up to `maxTokens` tokens after the prompt, of which the session reads what it hasn't read yet.
  ///
  /// - Parameters:
  ///   - prompt: ids; must not be empty.
  ///   - stops: texts that end the generation; they are not part of the result.
  ///   - listener: gets text as soon as it is certain: whole characters, and nothing that may begin a stop text; returns
  ///     false to cancel.
  /// - Throws: ``ComputeError``, and what the listener throws.
  package func generate(
    prompt: [Int32], maxTokens: Int, options: SamplingOptions, stops: [String] = [],
    listener: (String) throws -> Bool = { _ in true }
  ) throws -> GenerationResult {
    guard maxTokens > 0 else { return GenerationResult() }
    let logits = try session.logits(behind: prompt)
    return try generate(after: logits, prompt: prompt, maxTokens: maxTokens, options: options, stops: stops) { step in
      try step.text.isEmpty || listener(step.text)
    }
  }

  /// Generates what follows a prompt that the session has read.
  ///
  /// - Parameters:
  ///   - logits: (V), behind the prompt's last token.
  ///   - listener: sees every token drawn, the end of the document too; returns false to cancel.
  package func generate(
    after logits: [Float], prompt: [Int32], maxTokens: Int, options: SamplingOptions, stops: [String],
    listener: (GenerationStep) throws -> Bool
  ) throws -> GenerationResult {
    var result = GenerationResult()
    var sampler = Sampler(options)
    var decoder = tokenizer.map { StreamingDecoder($0, behind: prompt) }
    var gate = StopGate(stops)
    var logits = logits
    var seen = prompt

    while result.ids.count < maxTokens {
      if let last = result.ids.last { logits = try session.append([last]) }
      let id = sampler.next(logits, seen: seen)
      if id == endOfText {
        result.finishReason = .stop
        if try !listener(GenerationStep(id: id, text: "", logits: logits)) { result.finishReason = .cancelled }
        break
      }
      result.ids.append(id)
      seen.append(id)
      let text = gate.pass(decoder?.append(id) ?? "")
      result.text += text
      let goesOn = try listener(GenerationStep(id: id, text: text, logits: logits))
      if gate.isShut || !goesOn {
        result.finishReason = gate.isShut ? .stop : .cancelled
        return result
      }
    }
    let rest = gate.pass(decoder?.finish() ?? "") + gate.flush()
    if gate.isShut { result.finishReason = .stop }
    result.text += rest
    if !rest.isEmpty { _ = try listener(GenerationStep(id: nil, text: rest, logits: logits)) }
    return result
  }
}

/// Lets text through until a stop text appears, and holds back what may be the beginning of one.
///
/// The stop text that is complete first counts, so that the result doesn't depend on the pieces that text comes in.
package struct StopGate {
  private let stops: [[UInt8]]
  private var held: [UInt8] = []
  package private(set) var isShut = false

  package init(_ stops: [String]) {
    self.stops = stops.map { Array($0.utf8) }.filter { !$0.isEmpty }
  }

  /// What may be shown now that `text` has come.
  package mutating func pass(_ text: String) -> String {
    guard !isShut else { return "" }
    guard !stops.isEmpty else { return text }
    held += text.utf8
    let found = stops.compactMap { firstRange(of: $0) }
    if let stop = found.min(by: { ($0.upperBound, $0.lowerBound) < ($1.upperBound, $1.lowerBound) }) {
      isShut = true
      defer { held = [] }
      return String(decoding: held[..<stop.lowerBound], as: UTF8.self)
    }
    let safe = held.count - heldBack
    defer { held.removeFirst(safe) }
    return String(decoding: held[..<safe], as: UTF8.self)
  }

  /// What was held back, when nothing more comes.
  package mutating func flush() -> String {
    defer { held = [] }
    return String(decoding: held, as: UTF8.self)
  }

  private func firstRange(of stop: [UInt8]) -> Range<Int>? {
    guard held.count >= stop.count else { return nil }
    return (0...held.count - stop.count).lazy.map { $0..<$0 + stop.count }.first { held[$0].elementsEqual(stop) }
  }

  /// Bytes at the end that begin a stop text; never a part of a character, as stop texts are whole ones.
  private var heldBack: Int {
    stops.map { stop in
      (0..<min(stop.count, held.count + 1)).last { held.suffix($0).elementsEqual(stop.prefix($0)) } ?? 0
    }.max() ?? 0
  }
}
