import Foundation

/// Asks a service whether it answers, with nothing but sockets: a bare system has no tool for that.
package enum HealthCheck {
  private static let longestAnswer = 1 << 16

  /// - Parameter timeout: seconds for connecting, and for the answer.
  /// - Throws: ``ServingError/unhealthy(host:port:reason:)``.
  package static func run(host: String, port: Int, timeout: Int) throws(ServingError) {
    func unhealthy(_ reason: String) -> ServingError { .unhealthy(host: host, port: port, reason: reason) }
    try SocketAddresses.resolve(host: host, port: port, failure: unhealthy) { first throws(ServingError) in
      var failure = ENOENT
      for address in sequence(first: first, next: { $0.pointee.ai_next }) {
        let descriptor = socket(address.pointee.ai_family, address.pointee.ai_socktype, 0)
        guard descriptor >= 0 else { failure = errno; continue }
        defer { close(descriptor) }
        var limit = timeval(tv_sec: timeout, tv_usec: 0)
        for option in [SO_RCVTIMEO, SO_SNDTIMEO] {
          setsockopt(descriptor, SOL_SOCKET, option, &limit, socklen_t(MemoryLayout<timeval>.size))
        }
        guard connect(descriptor, address.pointee.ai_addr, address.pointee.ai_addrlen) == 0 else {
          failure = errno
          continue
        }
        let name = host.contains(":") ? "[\(host)]" : host
        let request = "GET /health HTTP/1.1\r\nHost: \(name):\(port)\r\nConnection: close\r\n\r\n"
        let answer = ask(descriptor, request, timeout)
        let line = answer.prefix { $0 != "\r\n" && $0 != "\n" }
        guard line.hasPrefix("HTTP/1.1 200") else {
          throw unhealthy(line.isEmpty ? "no answer within \(timeout) s" : "it answers '\(line.prefix(80))'")
        }
        return
      }
      throw unhealthy(String(cString: strerror(failure)))
    }
  }

  private static func ask(_ descriptor: Int32, _ request: String, _ timeout: Int) -> String {
    let bytes = Array(request.utf8)
    guard send(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL)) == bytes.count else { return "" }
    let end = ContinuousClock.now + .seconds(timeout)
    var answer: [UInt8] = []
    var block = [UInt8](repeating: 0, count: 4096)
    while answer.count < longestAnswer, ContinuousClock.now < end {
      let count = recv(descriptor, &block, block.count, 0)
      guard count > 0 else { break }
      answer += block[..<count]
    }
    return String(decoding: answer, as: UTF8.self)
  }
}
