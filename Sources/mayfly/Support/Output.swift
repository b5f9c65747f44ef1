import Formats
import Foundation

/// Results go to stdout.
enum Output {
  /// Writes text at once, so that a reader sees a token as soon as it is there.
  static func write(_ text: String) {
    FileHandle.standardOutput.write(Data(text.utf8))
  }

  static func line(_ text: String) { write(text + "\n") }

  /// The one JSON document of `--json`; numbers that are none are null there.
  static func json(_ json: JSON) { line(json.serialized(pretty: true)) }
}
