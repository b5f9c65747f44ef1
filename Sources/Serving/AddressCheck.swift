import Foundation

/// Whether an address can be listened on, asked before hours of work that end in serving there.
package enum AddressCheck {
  /// - Throws: ``ServingError/address(host:port:reason:)``.
  package static func run(host: String, port: Int) throws(ServingError) {
    var hints = addrinfo()
    hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
    var found: UnsafeMutablePointer<addrinfo>?
    let code = getaddrinfo(host, String(port), &hints, &found)
    guard code == 0, let found else {
      throw .address(host: host, port: port, reason: String(cString: gai_strerror(code)))
    }
    defer { freeaddrinfo(found) }
    let descriptor = socket(found.pointee.ai_family, hints.ai_socktype, 0)
    defer { if descriptor >= 0 { close(descriptor) } }
    // As the service does it: a port that was left a moment ago is free.
    var yes: Int32 = 1
    setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &yes, socklen_t(MemoryLayout<Int32>.size))
    guard bind(descriptor, found.pointee.ai_addr, found.pointee.ai_addrlen) == 0, listen(descriptor, 1) == 0 else {
      throw .address(host: host, port: port, reason: String(cString: strerror(errno)))
    }
  }
}
