import Formats
import Foundation

/// What a browser lets a page do: run the scripts and styles that stand in it, by their hashes, and ask this server.
struct ContentSecurityPolicy {
  let text: String

  init(of html: String) {
    let scripts = Self.hashes(of: "script", in: html)
    let styles = Self.hashes(of: "style", in: html)
    text = [
      "default-src 'none'", "script-src \(scripts)", "style-src \(styles)", "connect-src 'self'", "img-src data:",
      "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'",
    ].joined(separator: "; ")
  }

  /// The hashes of what stands between `<tag …>` and `</tag>`.
  private static func hashes(of tag: String, in html: String) -> String {
    var hashes: [String] = []
    for block in html.components(separatedBy: "<\(tag)").dropFirst() {
      guard let open = block.firstIndex(of: ">"), let close = block.range(of: "</\(tag)>") else { continue }
      let content = Array(block[block.index(after: open)..<close.lowerBound].utf8)
      hashes.append("'sha256-\(base64(ContentHash(content)))'")
    }
    return hashes.isEmpty ? "'none'" : hashes.joined(separator: " ")
  }

  private static func base64(_ hash: ContentHash) -> String {
    let bytes = (0..<4).flatMap { word in withUnsafeBytes(of: hash.words[word].bigEndian) { Array($0) } }
    return Data(bytes).base64EncodedString()
  }
}
