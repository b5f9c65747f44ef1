import Foundation
import Synchronization

/// Everything that isn't a result goes to stderr. On a terminal some lines at its end may be alive: what is said stands
/// above them, and they are drawn over when they change.
enum Log {
  private static let live = Mutex<[String]>([])

  static func line(_ text: String) {
    live.withLock { lines in write(lines.isEmpty ? text + "\n" : drawing(over: lines, above: text + "\n", lines)) }
  }

  /// Where nobody can read it, work goes on all the same.
  static func write(_ text: String) { _ = StandardStreams.write(text, to: STDERR_FILENO) }

  /// Changes the lines at the end; only for a terminal.
  static func show(_ lines: [String]) {
    live.withLock { old in
      write(drawing(over: old, above: "", lines))
      old = lines
    }
  }

  /// Leaves the lines at the end as they are: from here on they are like others.
  static func settle() {
    live.withLock { lines in
      if !lines.isEmpty { write("\n") }
      lines = []
    }
  }

  /// Whether stderr is a terminal on which the cursor can go up.
  static var isTerminal: Bool {
    isatty(STDERR_FILENO) == 1 && ProcessInfo.processInfo.environment["TERM"].map { $0 != "dumb" } ?? false
  }

  /// Columns of the terminal; 80 where there is none.
  static var columns: Int {
    var size = winsize()
    return ioctl(STDERR_FILENO, UInt(TIOCGWINSZ), &size) == 0 && size.ws_col > 0 ? Int(size.ws_col) : 80
  }

  /// Text and lines in place of the lines that stand there, in one piece and without a blank moment between: nothing
  /// flickers. The cursor stays behind the last line, and it is never hidden: a process that is killed leaves nothing
  /// behind that must be put right.
  private static func drawing(over old: [String], above: String, _ lines: [String]) -> String {
    // A terminal that was made narrower has broken lines apart.
    let columns = max(1, columns)
    let rows = old.reduce(0) { $0 + max(1, ($1.count + columns - 1) / columns) }
    let up = rows > 1 ? "\r\u{1B}[\(rows - 1)A" : "\r"
    let text = (above.isEmpty ? lines : [String(above.dropLast())] + lines).joined(separator: "\n")
    // Each line clears what is left of the one that stood there; the last, all below.
    return up + text.replacingOccurrences(of: "\n", with: "\u{1B}[K\n") + "\u{1B}[J"
  }
}
