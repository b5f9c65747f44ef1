/// The part that a tensor plays in a model, by which optimizers tell tensors apart.
package enum TensorRole: Sendable, Equatable {
  /// Rows that are looked up.
  case embedding
  /// Maps vectors to vectors; `rows` are those of the matrices that lie on top of each other in it, as queries, keys and
  /// values.
  case matrix(rows: [Int])
  /// Norms' weights, biases, the head.
  case other

  package var isMatrix: Bool { if case .matrix = self { true } else { false } }
}

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
    package let role: TensorRole
  }

  /// Elements between which tensors start: 64 bytes of fp32, a cache line and the widest vector.
  package static let alignment = 16

  package private(set) var entries: [Entry] = []
  /// Elements of the flat buffer, padding included. Padding is zero and stays so.
  package private(set) var count = 0
  private var indices: [String: Int] = [:]

  package init() {}

  /// Matrices have room for a multiple of so many rows: tensor cores multiply others at a sixth of their rate.
  package static let rowAlignment = 8

  /// Appends a tensor.
  package mutating func add(_ name: String, _ shape: Shape, role: TensorRole = .other, isTrainable: Bool = true) {
    precondition(indices[name] == nil, "two tensors named \(name)")
    indices[name] = entries.count
    entries.append(Entry(name: name, shape: shape, offset: count, isTrainable: isTrainable, role: role))
    let room = shape.rank == 2 ? aligned(shape[0], to: Self.rowAlignment) * shape[1] : shape.count
    count = aligned(count + room, to: Self.alignment)
  }

  /// The position of a tensor in `entries`.
  package func index(of name: String) -> Int? { indices[name] }

  package subscript(name: String) -> Entry? { indices[name].map { entries[$0] } }

  /// Elements that are really there: the number of parameters.
  package var parameterCount: Int { entries.reduce(0) { $0 + $1.shape.count } }

  /// A range of the flat buffers, padding included, whose tensors are all updated alike.
  package struct Segment: Sendable {
    package fileprivate(set) var range: Range<Int>
    /// With two or more dimensions.
    package let decays: Bool
    package let isEmbedding: Bool
    package let isMatrix: Bool
  }

  /// All trainable tensors.
  package var segments: [Segment] {
    var segments: [Segment] = []
    for (index, entry) in entries.enumerated() where entry.isTrainable {
      let end = index + 1 < entries.count ? entries[index + 1].offset : count
      let next = Segment(
        range: entry.offset..<end, decays: entry.shape.rank >= 2, isEmbedding: entry.role == .embedding,
        isMatrix: entry.role.isMatrix)
      if let last = segments.last, last.isLike(next), last.range.upperBound == entry.offset {
        segments[segments.count - 1].range = last.range.lowerBound..<end
      } else {
        segments.append(next)
      }
    }
    return segments
  }

  /// One matrix of a tensor of matrices.
  package struct Matrix: Sendable {
    /// Its first element in the flat buffers.
    package let offset: Int
    package let rows, columns: Int
  }

  /// The trainable matrices, the largest first.
  package var matrices: [Matrix] {
    var matrices: [Matrix] = []
    for entry in entries where entry.isTrainable {
      guard case .matrix(let parts) = entry.role else { continue }
      var offset = entry.offset
      for rows in parts {
        matrices.append(Matrix(offset: offset, rows: rows, columns: entry.shape.width))
        offset += rows * entry.shape.width
      }
    }
    return matrices.sorted { ($0.rows * $0.columns, $1.offset) > ($1.rows * $1.columns, $0.offset) }
  }
}

extension TensorLayout.Segment {
  fileprivate func isLike(_ other: Self) -> Bool {
    (decays, isEmbedding, isMatrix) == (other.decays, other.isEmbedding, other.isMatrix)
  }
}

/// The least multiple of `alignment` that is at least `value`.
package func aligned(_ value: Int, to alignment: Int) -> Int {
  (value + alignment - 1) / alignment * alignment
}
