/// The parts of a data set: to learn from, to choose by, to judge by.
package enum Split: String, CaseIterable, Sendable, Comparable {
  case train, val, test

  package static func < (a: Split, b: Split) -> Bool { a.order < b.order }

  private var order: Int {
    switch self {
    case .train: 0
    case .val: 1
    case .test: 2
    }
  }
}
