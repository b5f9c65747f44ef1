import Formats
import Generation
import Hummingbird
import NIOCore

/// The documents that a generation is told in: one at the end, or many on the way.
protocol Answer: Sendable {
  func whole(_ texts: [ChoiceText], _ usage: Usage) -> JSON
  /// What a stream says of some output, as the elements of `choices`.
  func pieces(_ output: Output) -> [JSON]
  func chunk(_ choices: [JSON], usage: JSON?) -> JSON
}

/// An answer as far as it has come.
struct ChoiceText {
  var text = ""
  var tokens: [TokenScore] = []
  var reason = GenerationResult.FinishReason.length
}

extension API {
  func complete(_ fields: Fields, _ exchange: Exchange) async throws -> Response {
    let request = try CompletionRequest(fields)
    try model.check(request.common.model)
    var work = GenerationWork(prompts: [])
    for prompt in request.prompts { work.prompts.append(try model.ids(prompt, "prompt")) }
    work.scoresPrompt = request.echo && request.top != nil
    work.top = request.top
    return try await generate(
      work, request.common, CompletionAnswer(request: request, model: model), exchange)
  }

  func chat(_ fields: Fields, _ exchange: Exchange) async throws -> Response {
    let request = try ChatRequest(fields)
    try model.check(request.common.model)
    var work = GenerationWork(prompts: [try model.ids(request.messages)])
    work.top = request.top
    return try await generate(work, request.common, ChatAnswer(request: request, model: model), exchange)
  }

  func embed(_ fields: Fields, _ exchange: Exchange) async throws -> Response {
    let request = try EmbeddingRequest(fields)
    try model.check(request.model)
    var texts: [[Int32]] = []
    for input in request.inputs {
      if input == .text("") { throw APIError.invalid("input", "an empty text has no embedding") }
      texts.append(try model.ids(input, "input"))
    }
    let job = try submit(.embed(texts), exchange)
    defer { exchange.connection.whenClosed(nil) }
    var vectors: [[Float]] = []
    for try await output in job.output {
      if case .vectors(let found) = output { vectors = found }
    }
    let usage = Usage(prompt: texts.reduce(0) { $0 + $1.count })
    metrics.took(usage)
    return done(exchange, Response(json: EmbeddingAnswer(request: request, model: model).whole(vectors, usage)))
  }

  /// Puts work into the queue; it is taken out again when the client goes.
  private func submit(_ work: Work, _ exchange: Exchange) throws(APIError) -> Job {
    let job = try engine.submit(work)
    exchange.connection.whenClosed { [engine] in engine.cancel(job) }
    return job
  }

  private func generate(
    _ work: GenerationWork, _ common: GenerationFields, _ answer: some Answer, _ exchange: Exchange
  ) async throws -> Response {
    if !common.stops.isEmpty, model.tokenizer == nil { throw APIError.noTokenizer }
    var work = work
    work.choices = common.choices
    work.maxTokens = common.maxTokens
    work.sampling = common.sampling
    work.stops = common.stops
    let usage = Usage(prompt: work.prompts.reduce(0) { $0 + $1.count })
    let job = try submit(.generate(work), exchange)
    guard common.streams else {
      defer { exchange.connection.whenClosed(nil) }
      return done(exchange, Response(json: try await collect(job, work, usage, answer, exchange)))
    }
    // What fails before the first output still has a status of its own.
    var iterator = job.output.makeAsyncIterator()
    let first = try await iterator.next()
    return Response(
      status: .ok, headers: [.contentType: ServerSentEvents.mediaType, .cacheControl: "no-cache"],
      body: ResponseBody { writer in
        defer {
          exchange.connection.whenClosed(nil)
          engine.cancel(job)
        }
        let events = EventWriter(api: self, answer: answer, sendsUsage: common.includesUsage, exchange: exchange)
        try await events.write(first, job, usage, to: &writer)
        try await writer.finish(nil)
      })
  }

  /// Waits for all of an answer.
  private func collect(
    _ job: Job, _ work: GenerationWork, _ usage: Usage, _ answer: some Answer, _ exchange: Exchange
  ) async throws -> JSON {
    var texts = [ChoiceText](repeating: ChoiceText(), count: work.prompts.count * work.choices)
    var usage = usage
    for try await output in job.output {
      switch output {
      case .prompt(let index, let tokens):
        for choice in index * work.choices..<(index + 1) * work.choices { texts[choice].tokens = tokens }
      case .piece(let choice, let piece):
        if usage.completion == 0 { metrics.firstToken(seconds: exchange.seconds) }
        usage.completion += piece.tokenCount
        texts[choice].text += piece.text
        texts[choice].tokens += piece.tokens
      case .finished(let choice, let reason): texts[choice].reason = reason
      case .vectors: break
      }
    }
    metrics.took(usage)
    return answer.whole(texts, usage)
  }
}

/// Writes an answer as events while it comes.
private struct EventWriter<A: Answer> {
  let api: API
  let answer: A
  let sendsUsage: Bool
  let exchange: API.Exchange

  func write(
    _ first: Output?, _ job: Job, _ usage: Usage, to writer: inout any ResponseBodyWriter
  ) async throws {
    var usage = usage
    var status = 200
    defer {
      api.metrics.took(usage)
      api.metrics.answered(exchange.route.rawValue, status: status, seconds: exchange.seconds)
    }
    do {
      if let first { try await write(first, &usage, &writer) }
      for try await output in job.output { try await write(output, &usage, &writer) }
      if sendsUsage { try await send(ServerSentEvents.event(answer.chunk([], usage: usage.json)), &writer) }
    } catch {
      // The status has been sent already: the stream says what happened, and ends as it should.
      let error = api.described(error)
      status = error.status
      try await send(ServerSentEvents.event(error.json), &writer)
    }
    try await send(ServerSentEvents.end, &writer)
  }

  private func write(_ output: Output, _ usage: inout Usage, _ writer: inout any ResponseBodyWriter) async throws {
    if case .piece(_, let piece) = output {
      if usage.completion == 0 { api.metrics.firstToken(seconds: exchange.seconds) }
      usage.completion += piece.tokenCount
    }
    for choice in answer.pieces(output) {
      try await send(ServerSentEvents.event(answer.chunk([choice], usage: sendsUsage ? .null : nil)), &writer)
    }
  }

  private func send(_ bytes: [UInt8], _ writer: inout any ResponseBodyWriter) async throws {
    try await writer.write(ByteBuffer(bytes: bytes))
  }
}
