import Formats
import Foundation

/// Results go to stdout.
enum Output {
  /// Writes text at once, so that a reader sees a token as soon as it is there.
  ///
  /// - Throws: ``ReaderLeft``, ``FormatError/unwritable(path:reason:)``.
  static func write(_ text: String) throws {
    switch StandardStreams.write(text, to: STDOUT_FILENO) {
    case nil: return
    case EPIPE: throw ReaderLeft()
    case let code?: throw FormatError.unwritable(path: "stdout", reason: String(cString: strerror(code)))
    }
  }

  /// Writes what a model says, which may be anything: a terminal shows control characters and obeys none.
  ///
  /// - Throws: as ``write(_:)``.
  static func write(ofModel text: String) throws { try write(isTerminal ? text.withVisibleControls : text) }

  private static let isTerminal = isatty(STDOUT_FILENO) == 1

  static func line(_ text: String) throws { try write(text + "\n") }

  /// The one JSON document of `--json`; numbers that are none are null there.
  static func json(_ json: JSON) throws { try line(json.serialized(pretty: true)) }
}

/// Whoever reads the output has had enough, as `head` does: an end, but no failure.
struct ReaderLeft: Error {}
