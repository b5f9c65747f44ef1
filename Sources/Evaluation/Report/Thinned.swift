/// Values of a run as they come, evenly spread: whenever there are too many, every second one goes.
package struct Thinned<Value: Sendable>: Sendable {
  package private(set) var values: [Value] = []
  private let limit: Int
  /// Of so many that come, one is kept.
  private var stride = 1
  private var count = 0

  package init(limit: Int) { self.limit = limit }

  package mutating func append(_ value: Value) {
    if count.isMultiple(of: stride) {
      values.append(value)
      if values.count > limit {
        values = values.indices.filter { $0.isMultiple(of: 2) }.map { values[$0] }
        stride *= 2
      }
    }
    count += 1
  }
}
