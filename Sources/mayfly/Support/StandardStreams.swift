import Foundation

/// stdin, stdout and stderr, which belong to whoever started this process and may be anything, or closed.
enum StandardStreams {
  /// Makes sure that a reader who leaves ends no training, and that no file takes the number of a closed stream: what
  /// is written to stderr would land in it.
  static func secure() {
    signal(SIGPIPE, SIG_IGN)
    for descriptor in [STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO] where fcntl(descriptor, F_GETFD) < 0 {
      // The lowest free number is the closed one's. For reading: what is written there still fails.
      _ = open("/dev/null", O_RDONLY)
    }
  }

  /// Writes all of a text at once.
  ///
  /// - Returns: why that failed, as in errno; nil where it didn't.
  static func write(_ text: String, to descriptor: Int32) -> Int32? {
    var bytes = Array(text.utf8)[...]
    while !bytes.isEmpty {
      let count = bytes.withUnsafeBytes { Foundation.write(descriptor, $0.baseAddress, $0.count) }
      if count >= 0 {
        bytes = bytes.dropFirst(count)
      } else if errno == EAGAIN {
        var full = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
        _ = poll(&full, 1, -1)
      } else if errno != EINTR {
        return errno
      }
    }
    return nil
  }
}
