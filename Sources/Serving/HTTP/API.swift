import Formats
import Foundation
import HTTPTypes
import Hummingbird
import NIOCore
import NIOHTTP1

/// Which connection a request came by.
struct RequestSource: InitializableFromSource {
  let channel: any Channel

  init(source: ApplicationRequestContextSource) { channel = source.channel }
}

/// Answers requests.
struct API: HTTPResponder {
  let model: ModelInfo
  let engine: Engine
  let options: ServingOptions
  let log: @Sendable (String) -> Void
  let metrics = Metrics()
  private let pagePolicy = ContentSecurityPolicy(of: ChatPage.html)

  init(model: ModelInfo, engine: Engine, options: ServingOptions, log: @escaping @Sendable (String) -> Void) {
    (self.model, self.engine, self.options, self.log) = (model, engine, options, log)
  }

  /// One request on its way.
  struct Exchange: Sendable {
    let route: Route
    let connection: Connection
    let start = ContinuousClock.now

    var seconds: Double { (ContinuousClock.now - start) / .seconds(1) }
  }

  func respond(to request: Request, context: RequestSource) async throws -> Response {
    let start = ContinuousClock.now
    let path = (request.head.path ?? "/").prefix { $0 != "?" }
    var response: Response
    do {
      response = try await answer(request, path, context)
    } catch let error as HTTPParserError {
      // Not HTTP, or cut off: the connection itself answers.
      throw error
    } catch {
      let error = described(error)
      metrics.answered(
        Route(path: path)?.rawValue ?? "other", status: error.status,
        seconds: (ContinuousClock.now - start) / .seconds(1))
      response = Response(error)
    }
    response.headers[.xContentTypeOptions] = "nosniff"
    if let origin = options.corsOrigin {
      response.headers[.accessControlAllowOrigin] = origin
      response.headers[.vary] = "Origin"
    }
    if request.method == .head { response = response.createHeadResponse() }
    return response
  }

  /// What a client may know of an error.
  func described(_ error: any Error) -> APIError {
    switch error {
    case let error as APIError: return error
    case is CancellationError, is ChannelError, is IOError, is NIOAsyncWriterError: return .disconnected
    case is NIOTooManyBytesError: return .bodyTooLarge(limit: options.bodyLimit(context: model.context))
    default:
      log("error: \(error)")
      return .failed
    }
  }

  private func answer(_ request: Request, _ path: Substring, _ context: RequestSource) async throws -> Response {
    guard options.allows(host: request.head.authority) else { throw APIError.wrongHost }
    guard let route = Route(path: path) else { throw APIError.noSuchRoute(String(path)) }
    if request.method == .options, options.corsOrigin != nil { return preflight(route) }
    guard route.methods.contains(request.method) else {
      throw APIError.wrongMethod(request.method.rawValue, allowed: route.methods.map(\.rawValue))
    }
    if !route.isOpen { try checkKey(request) }
    let connection = try await context.channel.eventLoop.submit {
      try context.channel.pipeline.syncOperations.handler(type: ConnectionHandler.self).connection
    }.get()
    let exchange = Exchange(route: route, connection: connection)
    switch route {
    case .completions: return try await complete(try await fields(of: request), exchange)
    case .chat: return try await chat(try await fields(of: request), exchange)
    case .embeddings: return try await embed(try await fields(of: request), exchange)
    case .page: return done(exchange, page())
    case .health: return done(exchange, Response(json: health()))
    case .metrics:
      let text = metrics.text(waiting: engine.waitingCount, running: engine.isRunning ? 1 : 0)
      return done(exchange, Response(text, type: "text/plain; version=0.0.4; charset=utf-8"))
    case .models: return done(exchange, Response(json: ["object": "list", "data": [described(model)]]))
    case .model:
      let name = String(path.dropFirst("/v1/models/".count))
      try model.check(name.removingPercentEncoding ?? name)
      return done(exchange, Response(json: described(model)))
    }
  }

  /// Counts a request as answered.
  func done(_ exchange: Exchange, _ response: Response) -> Response {
    metrics.answered(exchange.route.rawValue, status: response.status.code, seconds: exchange.seconds)
    return response
  }

  // MARK: What every request must have

  private func checkKey(_ request: Request) throws(APIError) {
    guard let key = options.apiKey else { return }
    let given = Array((request.headers[.authorization] ?? "").utf8)
    let expected = Array("Bearer \(key)".utf8)
    // All bytes are compared: the time says nothing about how many were right.
    let differences = zip(given, expected).reduce(UInt8(0)) { $0 | ($1.0 ^ $1.1) }
    guard given.count == expected.count, differences == 0 else { throw .wrongKey }
  }

  /// The JSON body of a request.
  private func fields(of request: Request) async throws -> Fields {
    if let type = request.headers[.contentType]?.prefix(while: { $0 != ";" }).lowercased() {
      guard type.filter({ $0 != " " }) == "application/json" else { throw APIError.wrongType(type) }
    }
    let limit = options.bodyLimit(context: model.context)
    if let length = request.headers[.contentLength] {
      guard let count = Int(length), count <= limit else { throw APIError.bodyTooLarge(limit: limit) }
    } else if request.headers[.transferEncoding] == nil {
      throw APIError.noLength
    }
    let body = try await request.body.collect(upTo: limit)
    return try body.withUnsafeReadableBytes { bytes throws(APIError) in try Fields(bytes) }
  }

  private func preflight(_ route: Route) -> Response {
    Response(
      status: .noContent,
      headers: [
        .accessControlAllowMethods: route.methods.map(\.rawValue).joined(separator: ", "),
        .accessControlAllowHeaders: "Authorization, Content-Type",
      ])
  }

  // MARK: What needs no computing

  private func health() -> JSON {
    [
      "status": engine.isStopping ? "stopping" : "ok", "model": .string(model.name),
      "waiting": JSON(engine.waitingCount),
    ]
  }

  private func described(_ model: ModelInfo) -> JSON {
    [
      "id": .string(model.name), "object": "model", "created": JSON(model.created), "owned_by": "mayfly",
      "max_model_len": JSON(model.context),
    ]
  }

  private func page() -> Response { Response(page: ChatPage.html, policy: pagePolicy) }
}

extension Response {
  /// A page for people, which nothing may come into and which belongs into no other page.
  init(page html: String, policy: ContentSecurityPolicy) {
    self.init(html, type: "text/html; charset=utf-8")
    headers[.contentSecurityPolicy] = policy.text
    for (name, value) in [
      ("Cache-Control", "no-cache"), ("Cross-Origin-Opener-Policy", "same-origin"),
      ("Cross-Origin-Resource-Policy", "same-origin"), ("Referrer-Policy", "no-referrer"),
      ("X-Content-Type-Options", "nosniff"), ("X-Frame-Options", "DENY"),
    ] {
      if let name = HTTPField.Name(name) { headers[name] = value }
    }
  }

  init(_ text: String, type: String, status: HTTPResponse.Status = .ok) {
    self.init(status: status, headers: [.contentType: type], body: ResponseBody(byteBuffer: ByteBuffer(string: text)))
  }

  init(json: JSON, status: HTTPResponse.Status = .ok) {
    self.init(
      status: status, headers: [.contentType: "application/json"],
      body: ResponseBody(byteBuffer: ByteBuffer(bytes: json.serializedBytes())))
  }

  init(_ error: APIError) {
    self.init(json: error.json, status: HTTPResponse.Status(code: error.status))
    if let seconds = error.retryAfter { headers[.retryAfter] = "\(seconds)" }
    if let methods = error.allowedMethods { headers[.allow] = methods.joined(separator: ", ") }
    if error.status == 401 { headers[.wwwAuthenticate] = "Bearer" }
  }
}
