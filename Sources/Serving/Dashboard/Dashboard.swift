import Foundation
import HTTPTypes
import Hummingbird
import HummingbirdCore
import Logging
import NIOCore
import ServiceLifecycle
import Synchronization

/// A training as a live page, for this machine alone.
package final class Dashboard: Sendable {
  private let group: ServiceGroup
  private let hasEnded: DispatchSemaphore
  /// Where the page is.
  package let url: String

  /// Seconds that a request may take to arrive.
  private static let timeout = 10
  /// Seconds that an answer on its way may take when the page is closed.
  private static let lastWords = 2.0

  /// Begins to serve.
  ///
  /// - Parameter body: what the page shows now, as HTML; asked from other threads.
  /// - Throws: ``ServingError/dashboard(host:port:reason:)``.
  package init(
    _ address: DashboardAddress, title: String, body: @escaping @Sendable () -> String
  ) throws(ServingError) {
    let port = try address.freePort()
    let host = address.host
    let silent = Logger(label: "mayfly") { _ in SwiftLogNoOpLogHandler() }
    let begun = DispatchSemaphore(value: 0)
    let failure = Mutex<String?>(nil)
    let application = Application(
      responder: DashboardResponder(host: host, title: title, body: body),
      server: .http1(
        configuration: HTTP1Channel.Configuration(
          additionalChannelHandlers: [ConnectionHandler(timeout: .seconds(Int64(Self.timeout)))],
          idleTimeout: .seconds(Int64(6 * Self.timeout)))),
      configuration: ApplicationConfiguration(address: .hostname(host, port: port), serverName: "mayfly"),
      onServerRunning: { _ in begun.signal() }, logger: silent)
    // It catches no signals: they are the training's.
    let group = ServiceGroup(
      configuration: ServiceGroupConfiguration(services: [.init(service: application)], logger: silent))
    let ended = DispatchSemaphore(value: 0)
    Task.detached {
      do { try await group.run() } catch { failure.withLock { $0 = "\(error)" } }
      begun.signal()
      ended.signal()
    }
    begun.wait()
    if let reason = failure.withLock({ $0 }) { throw .dashboard(host: host, port: port, reason: reason) }
    (self.group, hasEnded) = (group, ended)
    url = "http://\(host.contains(":") ? "[\(host)]" : host):\(port)"
  }

  /// Ends the page.
  package func close() {
    let group = group
    Task.detached { await group.triggerGracefulShutdown() }
    _ = hasEnded.wait(timeout: .now() + Self.lastWords)
  }
}

/// Answers a browser that looks at a training.
struct DashboardResponder: HTTPResponder {
  private let options: ServingOptions
  private let title: String
  private let body: @Sendable () -> String
  private let policy: ContentSecurityPolicy

  init(host: String, title: String, body: @escaping @Sendable () -> String) {
    var options = ServingOptions()
    options.host = host
    (self.options, self.title, self.body) = (options, title, body)
    policy = ContentSecurityPolicy(of: DashboardPage.html(title: title, body: ""))
  }

  func respond(to request: Request, context: RequestSource) async throws -> Response {
    do {
      let response = try answer(request)
      return request.method == .head ? response.createHeadResponse() : response
    } catch {
      return Response(error)
    }
  }

  private func answer(_ request: Request) throws(APIError) -> Response {
    guard options.allows(host: request.head.authority) else { throw .wrongHost }
    let path = (request.head.path ?? "/").prefix { $0 != "?" }
    guard path == "/" || path == DashboardPage.bodyPath else { throw .noSuchRoute(String(path)) }
    guard [.get, .head].contains(request.method) else {
      throw .wrongMethod(request.method.rawValue, allowed: ["GET", "HEAD"])
    }
    return Response(page: path == "/" ? DashboardPage.html(title: title, body: body()) : body(), policy: policy)
  }
}
