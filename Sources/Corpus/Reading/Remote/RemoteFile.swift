import Foundation

/// A file on the network, and how to tell that it came whole.
struct RemoteFile: Sendable, Equatable {
  /// https://…
  let address: String
  /// The last part of its path, fit for a file's name.
  let name: String
  var size: Int?
  var checksum: Checksum?

  enum Checksum: Sendable, Equatable {
    case sha256(String)
    /// As git names a file: the SHA-1 of a header and the content.
    case gitBlob(String)

    var text: String {
      switch self {
      case .sha256(let hex): "SHA-256 \(hex)"
      case .gitBlob(let hex): "git blob \(hex)"
      }
    }
  }

  static func isRemote(_ input: String) -> Bool {
    ["https://", "http://", "hf://"].contains { input.lowercased().hasPrefix($0) }
  }

  /// An address that somebody gave; behind a # may stand `sha256=` and 64 digits, as pip has them.
  ///
  /// - Throws: ``CorpusError/badAddress(_:expected:)``.
  init(address text: String) throws(CorpusError) {
    let parts = text.split(separator: "#", maxSplits: 1, omittingEmptySubsequences: false)
    let address = String(parts[0])
    guard let components = URLComponents(string: address), components.host?.isEmpty == false,
      !address.unicodeScalars.contains(where: { $0.value <= 0x20 || $0.value >= 0x7F })
    else { throw .badAddress(text, expected: "https://HOST/PATH, what isn't ASCII or is a space as %XX") }
    var checksum: Checksum?
    if parts.count > 1 {
      let digits = parts[1].dropFirst("sha256=".count).lowercased()
      guard parts[1].hasPrefix("sha256="), digits.count == 64, digits.allSatisfy(\.isHexDigit) else {
        throw .badAddress(text, expected: "#sha256= and 64 hexadecimal digits, or nothing behind the address")
      }
      checksum = .sha256(digits)
    }
    self.init(address: address, path: components.path, checksum: checksum)
  }

  /// - Parameter path: whose last part becomes the name.
  init(address: String, path: String, size: Int? = nil, checksum: Checksum? = nil) {
    self.address = address
    self.size = size
    self.checksum = checksum
    let last = path.split(separator: "/").last.map(String.init) ?? ""
    // From its end, where the extension stands; 50 characters fit into every file system's names.
    let clean = String(
      String.UnicodeScalarView(last.unicodeScalars.filter { $0.value >= 0x20 && $0.value != 0x7F }.suffix(50)))
    name = clean.isEmpty || clean.hasPrefix(".") ? "download" : clean
  }

  /// What decides on the content, as far as it is known before it is here: not where it comes from, if there is a checksum.
  var identity: String {
    checksum.map { "\(name)\t\(size.map(String.init) ?? "")\t\($0.text)" } ?? address
  }
}
