import Compute

/// Matrices of one shape that are made orthogonal together.
struct MuonBatch {
  let matrices: [TensorLayout.Matrix]
  let rows, columns: Int
  let precision: Precision

  /// What a batch may take, unless one matrix takes more: enough to keep a card busy.
  private static var mostBytes: Int { 256 << 20 }

  /// Equal parts of each shape's matrices, by the shapes alone.
  static func batches(of matrices: [TensorLayout.Matrix], _ precision: Precision) -> [MuonBatch] {
    var shapes: [MuonBatch] = []
    for matrix in matrices {
      if let index = shapes.firstIndex(where: { $0.rows == matrix.rows && $0.columns == matrix.columns }) {
        shapes[index] = shapes[index].with(shapes[index].matrices + [matrix])
      } else {
        shapes.append(
          MuonBatch(matrices: [matrix], rows: matrix.rows, columns: matrix.columns, precision: precision))
      }
    }
    return shapes.flatMap { shape in
      let parts = min(shape.count, (shape.bytes + mostBytes - 1) / mostBytes)
      return (0..<parts).map { part in
        shape.with(Array(shape.matrices[part * shape.count / parts..<(part + 1) * shape.count / parts]))
      }
    }
  }

  private func with(_ matrices: [TensorLayout.Matrix]) -> MuonBatch {
    MuonBatch(matrices: matrices, rows: rows, columns: columns, precision: precision)
  }

  var count: Int { matrices.count }
  /// The shorter side.
  private var side: Int { min(rows, columns) }
  /// Elements from one X to the next, and from one of its products to the next: multiples of 256 bytes.
  var stride: Int { aligned(rows * columns, to: 128) }
  private var squareStride: Int { aligned(side * side, to: 128) }
  /// Of X and its successor, A and B.
  var bytes: Int { count * 2 * (stride + squareStride) * precision.dtype.size }

  var flops: Double {
    let (n, longer) = (Double(side), Double(max(rows, columns)))
    return Double(count * OptimizerUpdate.Muon.orthogonalization.count) * (4 * n * n * longer + 2 * n * n * n)
  }

  /// What makes the matrices at an address orthogonal, and where that leaves them.
  ///
  /// cuBLASLt's matrices are column-major: for it X is (columns, rows), and of its products with itself it doesn't matter.
  func orthogonalization(
    at room: Address, _ products: MatrixProducts
  ) throws(ComputeError) -> (result: Address, commands: [Command]) {
    let (isTall, size) = (rows > columns, precision.dtype.size)
    var (x, next) = (room, room + count * stride * size)
    let a = next + count * stride * size
    let b = a + count * squareStride * size
    func command(_ product: MatrixProduct) throws(ComputeError) -> Command {
      .product(try products.call(product, isTimed: true))
    }
    func batch(_ strideA: Int, _ strideB: Int, _ strideD: Int) -> MatrixProduct.Batch? {
      count > 1 ? .init(count: count, strideA: strideA, strideB: strideB, strideD: strideD) : nil
    }
    var commands: [Command] = []
    for polynomial in OptimizerUpdate.Muon.orthogonalization {
      // A = X·Xᵀ, of tall matrices Xᵀ·X.
      commands.append(
        try command(
          MatrixProduct(
            m: side, n: side, k: max(rows, columns), transposesA: !isTall, transposesB: isTall, a: x, b: x, d: a,
            leadingA: columns, leadingB: columns, leadingD: side, operands: precision, result: precision,
            batch: batch(stride, stride, squareStride))))
      // B = bA + cA·A.
      commands.append(
        try command(
          MatrixProduct(
            m: side, n: side, k: side, a: a, b: a, d: b, leadingA: side, leadingB: side, leadingD: side,
            operands: precision, result: precision, c: a, alpha: polynomial.c, beta: polynomial.b,
            batch: batch(squareStride, squareStride, squareStride))))
      // X ← aX + B·X, of tall matrices aX + X·B.
      commands.append(
        try command(
          MatrixProduct(
            m: columns, n: rows, k: side, a: isTall ? b : x, b: isTall ? x : b, d: next, leadingA: columns,
            leadingB: side, leadingD: columns, operands: precision, result: precision, c: x, beta: polynomial.a,
            batch: batch(isTall ? squareStride : stride, isTall ? stride : squareStride, stride))))
      (x, next) = (next, x)
    }
    return (x, commands)
  }
}
