import Formats
import Foundation

/// Requests over HTTP, by curl: it knows proxies, certificates and redirections better than we ever will.
enum Web {
  private static let program = ExternalProgram(name: "curl", package: "curl", purpose: "addresses are fetched")

  /// Attempts that bring nothing new, one after the other, after which a server is given up.
  static let attempts = 5

  /// Waits before another attempt, the longer the more have failed.
  static func pause(after failures: Int) { Thread.sleep(forTimeInterval: 0.25 * Double(1 << failures)) }

  /// What came of a request.
  struct Answer {
    let headers: Headers
    /// Whether the whole body came.
    let isWhole: Bool
    /// What went wrong, in words.
    let problem: String

    /// HTTP's; 0 where none came.
    var status: Int { headers.status }
    var isMissing: Bool { status == 404 || status == 410 }
    var isForbidden: Bool { status == 401 || status == 403 }
    /// Whether trying again may help.
    var mayPass: Bool { !isWhole && (status < 400 || status == 408 || status == 429 || status >= 500) }
  }

  /// The headers of the last answer, after all redirections; names in lower case.
  struct Headers {
    let status: Int
    private var values: [String: String] = [:]

    /// - Parameter path: of a file that holds them as they came; of several answers the last one counts, and where no file
    ///   is, none came.
    init(file path: String) {
      let text = String(decoding: (try? FileSystem.read(path)) ?? [], as: UTF8.self)
      var status = 0
      for line in text.split(whereSeparator: \.isNewline) {
        if line.hasPrefix("HTTP/") {
          status = line.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0
          values = [:]
        } else if let colon = line.firstIndex(of: ":") {
          values[line[..<colon].lowercased()] =
            line[line.index(after: colon)...].trimmingCharacters(in: .whitespaces)
        }
      }
      self.status = status
    }

    subscript(name: String) -> String? { values[name] }
  }

  /// - Parameters:
  ///   - headers: of the request.
  ///   - start: bytes of the content that are here already; an answer with all of it is none then.
  ///   - headerPath: where the answer's headers are kept, also when this process is killed.
  ///   - body: gets the content.
  static func get(
    _ address: String, headers: [String] = [], from start: Int = 0, keepingHeadersAt headerPath: String,
    _ body: (Data) throws(CorpusError) -> Void
  ) throws(CorpusError) -> Answer {
    var arguments = [
      // Nothing of the user's own settings for curl: they could put something else into the content.
      "--disable", "--globoff", "--suppress-connect-headers", "--silent", "--show-error", "--fail", "--location",
      "--max-redirs", "10", "--proto", "=https,http",
      "--connect-timeout", "30", "--speed-limit", "1", "--speed-time", "60", "--dump-header", headerPath,
    ]
    if start > 0 { arguments += ["--continue-at", "\(start)"] }
    // By its input, not its arguments, which every user of the machine can read.
    arguments += ["--config", "-"]
    let lines = (headers + ["User-Agent: mayfly"]).map { "header = \(quoted($0))\n" } + ["url = \(quoted(address))\n"]
    try withFiles(try FileSystem.write("", to: headerPath))
    let ending = try program.run(arguments, for: address, input: lines.joined(), body)
    return Answer(
      headers: Headers(file: headerPath), isWhole: ending.code == 0,
      problem: ending.message.trimmingCharacters(in: .whitespacesAndNewlines))
  }

  private static func quoted(_ text: String) -> String {
    "\"" + text.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"") + "\""
  }
}
