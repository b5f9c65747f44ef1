import Foundation

/// The TCP addresses that a host's name stands for.
enum SocketAddresses {
  /// Lends the first of them, which points to the next.
  ///
  /// - Parameter failure: what is thrown for a reason why there are none.
  static func resolve<Result, Failure>(
    host: String, port: Int, failure: (String) -> Failure,
    _ body: (UnsafeMutablePointer<addrinfo>) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    var hints = addrinfo()
    hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
    var found: UnsafeMutablePointer<addrinfo>?
    let code = getaddrinfo(host, String(port), &hints, &found)
    guard code == 0, let found else { throw failure(String(cString: gai_strerror(code))) }
    defer { freeaddrinfo(found) }
    return try body(found)
  }
}
