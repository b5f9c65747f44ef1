package import Compute
import Formats
import Foundation
import Hummingbird
import HummingbirdCore
import Logging
package import Models
import NIOCore
import ServiceLifecycle
import Synchronization
import UnixSignals

/// A model on the network, from the first request to the stop signal.
package struct ModelService: Sendable {
  private let api: API
  private let engine: Engine
  private let options: ServingOptions
  private let log: @Sendable (String) -> Void

  /// Seconds that cut-off answers have to reach their clients.
  private static let lastWords = 5

  /// - Parameters:
  ///   - weights: of `executor`; nobody else computes with it from here on.
  ///   - log: takes lines for whoever runs the server.
  /// - Throws: ``ComputeError``.
  package init(
    _ model: ModelInfo, _ transformer: Transformer, weights: any ParameterStore, executor: any Executor,
    options: ServingOptions, log: @escaping @Sendable (String) -> Void
  ) throws {
    let worker = try ModelWorker(model, transformer, weights: weights, executor: executor)
    // Handed over to the engine's thread: it alone uses the model from here on.
    nonisolated(unsafe) let handedOver = worker
    engine = Engine(capacity: options.queue) { try handedOver.perform($0) }
    api = API(model: model, engine: engine, options: options, log: log)
    (self.options, self.log) = (options, log)
  }

  /// Serves until SIGTERM or SIGINT: then takes no more requests, and returns when those at hand have come to their
  /// end. A second signal ends the process at once.
  ///
  /// - Throws: ``ServingError``.
  package func run() throws {
    let outcome = Mutex<Result<Void, any Error>>(.success(()))
    let isOver = DispatchSemaphore(value: 0)
    Task.detached {
      do { try await serve() } catch { outcome.withLock { $0 = .failure(error) } }
      isOver.signal()
    }
    isOver.wait()
    try outcome.withLock { $0 }.get()
  }

  private func serve() async throws {
    // Each connection is an open file.
    FileSystem.allowOpenFiles(options.maxConnections + 256)
    let silent = Logger(label: "mayfly") { _ in SwiftLogNoOpLogHandler() }
    let application = Application(
      responder: api,
      server: .http1(
        configuration: HTTP1Channel.Configuration(
          additionalChannelHandlers: [ConnectionHandler(timeout: .seconds(Int64(options.timeout)))],
          // Later than what a request has to arrive, which is told to the client.
          idleTimeout: .seconds(2 * Int64(options.timeout)))),
      configuration: ApplicationConfiguration(
        address: .hostname(options.host, port: options.port), serverName: "mayfly", backlog: options.maxConnections,
        availableConnectionsDelegate: MaximumAvailableConnections(options.maxConnections)),
      onServerRunning: { announce($0.localAddress?.port ?? options.port) }, logger: silent)
    let group = ServiceGroup(
      configuration: ServiceGroupConfiguration(services: [.init(service: application)], logger: silent))
    // Caught from here on, also while the socket is being opened.
    let signals = await UnixSignalsSequence(trapping: [.sigterm, .sigint])
    do {
      try await withThrowingTaskGroup { tasks in
        tasks.addTask { try await group.run() }
        tasks.addTask {
          var iterator = signals.makeAsyncIterator()
          guard await iterator.next() != nil else { return }
          engine.drain()
          await group.triggerGracefulShutdown()
          let limit = Task {
            try await Task.sleep(for: .seconds(options.drainLimit))
            engine.abort()
            try await Task.sleep(for: .seconds(Self.lastWords))
            log("error: \(ServingError.cutOff(seconds: options.drainLimit))")
            _exit(ContractExit.failed)
          }
          defer { limit.cancel() }
          if let second = await iterator.next() { _exit(second == .sigint ? 130 : 143) }
        }
        try await tasks.next()
        tasks.cancelAll()
      }
    } catch {
      let reason = (error as? IOError).map { String(cString: strerror($0.errnoCode)) } ?? "\(error)"
      throw ServingError.address(host: options.host, port: options.port, reason: reason)
    }
    if engine.cutJobsOff { throw ServingError.cutOff(seconds: options.drainLimit) }
    engine.abort()
    engine.join()
  }

  private func announce(_ port: Int) {
    let host = options.host.contains(":") ? "[\(options.host)]" : options.host
    if !options.isLoopback, options.apiKey == nil {
      log("warning: everybody who reaches \(host):\(port) can use the model; --api-key asks for a key")
    }
    log("serving \(api.model.name) at http://\(host):\(port)")
  }
}
