/// Named tensors in one flat buffer: the order, place and shape of each.
///
/// Weights, gradients and optimizer state share one layout, so that the optimizer, the global norm and a checkpoint are
/// each one pass over contiguous memory.
package struct TensorLayout: Sendable {
  package struct Entry: Sendable {
    package let name: String
    package let shape: Shape
    /// First element in the flat buffer; a multiple of ``TensorLayout/alignment``.
    package let offset: Int
    /// False: a constant. It gets no gradient and no update.
    package let isTrainable: Bool
  }

  /// Elements between which tensors start: 64 bytes of fp32, a cache line and the widest vector.
  package static let alignment = 16

  package private(set) var entries: [Entry] = []
  /// Elements of the flat buffer, padding included. Padding is zero and stays so.
  package private(set) var count = 0
  private var indices: [String: Int] = [:]

  package init() {}

  /// Appends a tensor.
  package mutating func add(_ name: String, _ shape: Shape, isTrainable: Bool = true) {
    precondition(indices[name] == nil, "two tensors named \(name)")
    indices[name] = entries.count
    entries.append(Entry(name: name, shape: shape, offset: count, isTrainable: isTrainable))
    count = aligned(count + shape.count, to: Self.alignment)
  }

  /// The position of a tensor in `entries`.
  package func index(of name: String) -> Int? { indices[name] }

  package subscript(name: String) -> Entry? { indices[name].map { entries[$0] } }

  /// Elements that are really there: the number of parameters.
  package var parameterCount: Int { entries.reduce(0) { $0 + $1.shape.count } }

  /// Ranges of the flat buffers, padding included, in which all tensors are updated, and all decayed or none: those with
  /// two or more dimensions are.
  package var updatedRanges: [(range: Range<Int>, decays: Bool)] {
    var ranges: [(range: Range<Int>, decays: Bool)] = []
    for (index, entry) in entries.enumerated() where entry.isTrainable {
      let end = index + 1 < entries.count ? entries[index + 1].offset : count
      let decays = entry.shape.rank >= 2
      if let last = ranges.last, last.decays == decays, last.range.upperBound == entry.offset {
        ranges[ranges.count - 1].range = last.range.lowerBound..<end
      } else {
        ranges.append((entry.offset..<end, decays))
      }
    }
    return ranges
  }
}

/// The least multiple of `alignment` that is at least `value`.
package func aligned(_ value: Int, to alignment: Int) -> Int {
  (value + alignment - 1) / alignment * alignment
}
