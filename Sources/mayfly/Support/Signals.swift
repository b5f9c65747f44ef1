import Foundation
import Synchronization

/// Notes SIGINT and SIGTERM, for loops that save before they stop. A second signal ends the process at once.
enum Signals {
  private static let received = Atomic<Int32>(0)

  static func watch() {
    for number in [SIGINT, SIGTERM] {
      signal(number) { number in
        Signals.received.store(number, ordering: .relaxed)
        signal(number, SIG_DFL)
      }
    }
  }

  /// The signal that asked to stop; nil: none did.
  static var stop: Int32? {
    let number = received.load(ordering: .relaxed)
    return number == 0 ? nil : number
  }
}
