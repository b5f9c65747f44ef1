/// The extents of a tensor, outermost first; row-major. An empty shape is a single value.
package struct Shape: Hashable, Sendable, CustomStringConvertible, ExpressibleByArrayLiteral {
  package let dimensions: [Int]

  package init(_ dimensions: [Int]) {
    precondition(dimensions.allSatisfy { $0 >= 0 })
    self.dimensions = dimensions
  }

  package init(arrayLiteral elements: Int...) {
    self.init(elements)
  }

  package var rank: Int { dimensions.count }
  package var count: Int { dimensions.reduce(1, *) }

  /// The last extent: the width of a row.
  package var width: Int { dimensions.last ?? 1 }
  /// The number of rows of `width` elements.
  package var rows: Int { dimensions.dropLast().reduce(1, *) }

  package subscript(axis: Int) -> Int { dimensions[axis] }

  /// The same rows with another width.
  package func withWidth(_ width: Int) -> Shape {
    Shape(dimensions.dropLast() + [width])
  }

  package var description: String {
    "(" + dimensions.map(String.init).joined(separator: ", ") + ")"
  }
}

package enum DType: Sendable {
  case float32
  case bfloat16
  case float16
  case int32

  /// Bytes of an element.
  package var size: Int {
    switch self {
    case .float32, .int32: 4
    case .bfloat16, .float16: 2
    }
  }
}
