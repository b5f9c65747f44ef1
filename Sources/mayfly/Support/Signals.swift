import Foundation
import Synchronization

/// Notes SIGINT, SIGTERM and SIGHUP (a terminal that closes), for loops that save before they stop. A second signal
/// ends the process at once.
enum Signals {
  private static let received = Atomic<Int32>(0)

  static func watch() {
    for number in [SIGINT, SIGTERM, SIGHUP] where number != SIGHUP || !isIgnored(number) {
      signal(number) { number in
        Signals.received.store(number, ordering: .relaxed)
        signal(number, SIG_DFL)
      }
    }
  }

  /// Gives the signals back: from here on they end the process, or belong to what comes next.
  static func unwatch() {
    for number in [SIGINT, SIGTERM, SIGHUP] where !isIgnored(number) { signal(number, SIG_DFL) }
  }

  /// Whether whoever started this process has ruled a signal out, as `nohup` does.
  private static func isIgnored(_ number: Int32) -> Bool {
    var action = sigaction()
    guard sigaction(number, nil, &action) == 0 else { return false }
    return unsafeBitCast(action.__sigaction_handler.sa_handler, to: Int.self) == unsafeBitCast(SIG_IGN, to: Int.self)
  }

  /// The signal that asked to stop; nil: none did.
  static var stop: Int32? {
    let number = received.load(ordering: .relaxed)
    return number == 0 ? nil : number
  }
}
