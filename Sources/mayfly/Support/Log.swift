import Foundation

/// Everything that isn't a result goes to stderr.
enum Log {
  static func line(_ text: String) { write(text + "\n") }

  /// Where nobody can read it, work goes on all the same.
  static func write(_ text: String) { _ = StandardStreams.write(text, to: STDERR_FILENO) }

  static var isTerminal: Bool { isatty(STDERR_FILENO) == 1 }

  /// Columns of the terminal; 80 where there is none.
  static var columns: Int {
    var size = winsize()
    return ioctl(STDERR_FILENO, UInt(TIOCGWINSZ), &size) == 0 && size.ws_col > 0 ? Int(size.ws_col) : 80
  }
}
