import Foundation

/// Whether an address can be listened on, asked before hours of work that end in serving there.
package enum AddressCheck {
  /// - Throws: ``ServingError/address(host:port:reason:)``.
  package static func run(host: String, port: Int) throws(ServingError) {
    func failure(_ reason: String) -> ServingError { .address(host: host, port: port, reason: reason) }
    try SocketAddresses.resolve(host: host, port: port, failure: failure) { first throws(ServingError) in
      let address = first.pointee
      let descriptor = socket(address.ai_family, address.ai_socktype, 0)
      defer { if descriptor >= 0 { close(descriptor) } }
      // As the service does it: a port that was left a moment ago is free.
      var yes: Int32 = 1
      setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &yes, socklen_t(MemoryLayout<Int32>.size))
      guard bind(descriptor, address.ai_addr, address.ai_addrlen) == 0, listen(descriptor, 1) == 0 else {
        throw failure(String(cString: strerror(errno)))
      }
    }
  }
}
