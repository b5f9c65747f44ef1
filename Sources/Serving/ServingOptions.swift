/// How a model is served.
package struct ServingOptions: Sendable {
  /// Where to listen: only this machine, unless asked for more.
  package var host = "127.0.0.1"
  /// 0: a free one.
  package var port = 8080
  /// Requests that may wait.
  package var queue = 64
  /// Bytes that a request may have; nil: 1 MiB, or more where the context needs it.
  package var maxBody: Int?
  package var maxConnections = 1024
  /// Seconds in which a request must have arrived, and in which a client must have taken a part of its answer.
  package var timeout = 30
  /// Seconds after a stop signal in which what runs may come to its end.
  package var drainLimit = 30
  /// What clients must send as `Authorization: Bearer KEY`; nil: nothing.
  package var apiKey: String?
  /// The web page's origin that may read answers, `*` for all; nil: none but the server's own.
  package var corsOrigin: String?

  package init() {}

  var isLoopback: Bool { ["localhost", "::1"].contains(host) || host.hasPrefix("127.") }

  func bodyLimit(context: Int) -> Int {
    // The longest tokens in a JSON string full of escapes.
    maxBody ?? max(1 << 20, min(context, 1 << 24) * 64)
  }

  /// Whether a `Host` header can be meant for this server. Where it listens on the loopback address only, a web page
  /// that lets its own name point there must not get through (DNS rebinding).
  func allows(host authority: String?) -> Bool {
    guard isLoopback, let authority else { return true }
    let name: Substring
    if authority.hasPrefix("[") {
      name = authority.dropFirst().prefix { $0 != "]" }
    } else {
      name = authority.prefix { $0 != ":" }
    }
    return ["localhost", "127.0.0.1", "::1", host].contains(name.lowercased())
  }
}
