import Formats
import HTTPTypes
import Hummingbird
import NIOCore
import NIOHTTPTypes
import Synchronization

/// Whether a client is still there.
final class Connection: Sendable {
  private struct State {
    var isClosed = false
    var listener: (@Sendable () -> Void)?
  }

  private let state = Mutex(State())

  /// Calls back when the client has gone, at once where it has already; nil: nobody listens any more.
  func whenClosed(_ listener: (@Sendable () -> Void)?) {
    let isClosed = state.withLock { state in
      state.listener = listener
      return state.isClosed
    }
    if isClosed { listener?() }
  }

  func close() {
    let listener = state.withLock { state in
      state.isClosed = true
      return state.listener
    }
    listener?()
  }
}

/// Watches one connection: a request must have arrived in time, its answer must be taken in time, and who computes the
/// answer learns when the client has gone.
///
/// All of it happens on the connection's event loop.
final class ConnectionHandler: ChannelDuplexHandler, RemovableChannelHandler {
  typealias InboundIn = HTTPRequestPart
  typealias InboundOut = HTTPRequestPart
  typealias OutboundIn = HTTPResponsePart
  typealias OutboundOut = HTTPResponsePart

  let connection = Connection()
  private let timeout: TimeAmount
  /// Runs from a request's first byte to its last.
  private var arrival: Scheduled<Void>?
  /// Runs while the client takes nothing of what was written.
  private var stall: Scheduled<Void>?
  /// Whether a request's head has arrived, but not its end.
  private var isArriving = false
  /// Whether an answer has begun that hasn't ended, or whose request hasn't.
  private var hasAnswered = false

  init(timeout: TimeAmount) { self.timeout = timeout }

  func handlerAdded(context: ChannelHandlerContext) {
    let watch = FirstByteHandler { [weak self] in self?.bytesArrived(context) }
    // In front of the decoder: half of a request's head is a request that must arrive in time, too.
    try? context.pipeline.syncOperations.addHandler(watch, position: .first)
  }

  func handlerRemoved(context: ChannelHandlerContext) { end() }

  func channelInactive(context: ChannelHandlerContext) {
    end()
    context.fireChannelInactive()
  }

  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    if case .some(.inputClosed) = event as? ChannelEvent { connection.close() }
    context.fireUserInboundEventTriggered(event)
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    switch unwrapInboundIn(data) {
    case .head(let head):
      isArriving = true
      if head.headerFields[.expect]?.lowercased() == "100-continue" {
        context.writeAndFlush(wrapOutboundOut(.head(HTTPResponse(status: .continue))), promise: nil)
      }
    case .body: break
    case .end:
      isArriving = false
      arrival?.cancel()
      arrival = nil
    }
    context.fireChannelRead(data)
  }

  func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
    if case .end = unwrapOutboundIn(data) { hasAnswered = isArriving } else { hasAnswered = true }
    context.write(data, promise: promise)
  }

  func channelWritabilityChanged(context: ChannelHandlerContext) {
    stall?.cancel()
    stall = context.channel.isWritable ? nil : schedule(context) { context.close(promise: nil) }
    context.fireChannelWritabilityChanged()
  }

  private func bytesArrived(_ context: ChannelHandlerContext) {
    guard arrival == nil else { return }
    arrival = schedule(context) { self.refuse(context) }
  }

  private func schedule(_ context: ChannelHandlerContext, _ task: @escaping () -> Void) -> Scheduled<Void> {
    context.eventLoop.assumeIsolated().scheduleTask(in: timeout, task)
  }

  /// The request didn't arrive in time.
  private func refuse(_ context: ChannelHandlerContext) {
    guard !hasAnswered, context.channel.isActive else { return context.close(promise: nil) }
    let error = APIError(status: 408, message: "the request didn't arrive in time", code: "request_timeout")
    let body = ByteBuffer(bytes: error.json.serializedBytes())
    let fields: HTTPFields = [
      .contentType: "application/json", .contentLength: "\(body.readableBytes)", .connection: "close",
    ]
    context.write(wrapOutboundOut(.head(HTTPResponse(status: .requestTimeout, headerFields: fields))), promise: nil)
    context.write(wrapOutboundOut(.body(body)), promise: nil)
    context.writeAndFlush(wrapOutboundOut(.end(nil))).assumeIsolated().whenComplete { _ in
      context.close(promise: nil)
    }
  }

  private func end() {
    connection.close()
    arrival?.cancel()
    stall?.cancel()
    (arrival, stall) = (nil, nil)
  }
}

/// Tells that bytes have come, before anything is made of them.
private final class FirstByteHandler: ChannelInboundHandler, RemovableChannelHandler {
  typealias InboundIn = ByteBuffer
  typealias InboundOut = ByteBuffer

  private let tell: () -> Void

  init(_ tell: @escaping () -> Void) { self.tell = tell }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    tell()
    context.fireChannelRead(data)
  }
}
