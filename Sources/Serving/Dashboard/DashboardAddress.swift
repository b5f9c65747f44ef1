/// Where a training's page is to be: on this machine, whoever else may be in the network.
package struct DashboardAddress: Sendable, Equatable, CustomStringConvertible {
  package let host: String
  /// Nil: the first that is free, from ``firstPort`` on.
  package let port: Int?

  private static let firstPort = 6006
  private static let ports = 20

  /// The first free port of this machine.
  package static let usual = DashboardAddress(host: "127.0.0.1", port: nil)

  private init(host: String, port: Int?) { (self.host, self.port) = (host, port) }

  /// Reads `PORT`, `HOST` or `HOST:PORT`; nil for anything else, and for hosts that other machines reach.
  package init?(_ text: String) {
    var (host, port): (Substring, Substring?) = (text[...], nil)
    if text.hasPrefix("["), let end = text.firstIndex(of: "]") {
      host = text[text.index(after: text.startIndex)..<end]
      let rest = text[text.index(after: end)...]
      guard rest.isEmpty || rest.hasPrefix(":") else { return nil }
      port = rest.isEmpty ? nil : rest.dropFirst()
    } else if let colon = text.firstIndex(of: ":"), colon == text.lastIndex(of: ":") {
      (host, port) = (text[..<colon], text[text.index(after: colon)...])
    } else if !text.isEmpty, text.allSatisfy(\.isASCII), text.allSatisfy(\.isNumber) {
      (host, port) = (Self.usual.host[...], text[...])
    }
    var options = ServingOptions()
    options.host = String(host)
    guard options.isLoopback else { return nil }
    self.host = String(host)
    if let port {
      guard let number = Int(port), (1...65_535).contains(number) else { return nil }
      self.port = number
    } else {
      self.port = nil
    }
  }

  /// As it is read again.
  package var description: String {
    let name = host.contains(":") ? "[\(host)]" : host
    return port.map { "\(name):\($0)" } ?? name
  }

  /// - Throws: ``ServingError/dashboard(host:port:reason:)``.
  func freePort() throws(ServingError) -> Int {
    let candidates = port.map { $0...$0 } ?? Self.firstPort...Self.firstPort + Self.ports - 1
    var reason = ""
    for candidate in candidates {
      do {
        try AddressCheck.run(host: host, port: candidate)
        return candidate
      } catch .address(_, _, let why) {
        reason = why
      } catch {
        reason = "\(error)"
      }
    }
    throw .dashboard(host: host, port: candidates.lowerBound, reason: reason)
  }
}
