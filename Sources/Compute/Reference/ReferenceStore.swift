/// Flat buffers in fp64.
package final class ReferenceStore: ParameterStore {
  package let layout: TensorLayout
  package var buffers: [ParameterBuffer: [Double]]

  init(_ layout: TensorLayout) {
    self.layout = layout
    buffers = Dictionary(
      uniqueKeysWithValues: ParameterBuffer.allCases.map { ($0, [Double](repeating: 0, count: layout.count)) })
  }

  package subscript(buffer: ParameterBuffer) -> [Double] {
    get { buffers[buffer] ?? [] }
    _modify { yield &buffers[buffer, default: []] }
  }

  package func read(_ buffer: ParameterBuffer, at offset: Int, into destination: UnsafeMutableBufferPointer<Float>) {
    for index in destination.indices { destination[index] = Float(self[buffer][offset + index]) }
  }

  package func write(_ buffer: ParameterBuffer, at offset: Int, from source: UnsafeBufferPointer<Float>) {
    for index in source.indices { self[buffer][offset + index] = Double(source[index]) }
  }

  /// Of the micro-steps since the last update.
  var totals = UpdateReport()
  private var reports: [UpdateReport] = []

  package func nextReport() -> UpdateReport {
    reports.removeFirst()
  }

  package func reserveMuon() {}

  package func update(_ update: OptimizerUpdate) {
    let norm = self[.gradients].reduce(0) { $0 + $1 * $1 }.squareRoot()
    totals.gradientNorm = norm / Double(update.lossScale)
    totals.isApplied = update.allows(totals)
    reports.append(totals)
    if totals.isApplied { apply(update, gradientScale: Double(update.gradientScale(norm: totals.gradientNorm))) }
  }

  private func apply(_ update: OptimizerUpdate, gradientScale: Double) {
    if let muon = update.muon {
      for matrix in layout.matrices { apply(muon, matrix, gradientScale: gradientScale) }
    }
    let (beta1, beta2) = (Double(update.beta1), Double(update.beta2))
    let correction1 = 1 - power(beta1, update.step)
    let correction2 = 1 - power(beta2, update.step)
    for segment in layout.segments where update.muon == nil || !segment.isMatrix {
      let rate = Double(update.learningRate(of: segment))
      let decay = segment.decays ? Double(update.weightDecay) : 0
      // Padding is 0 and stays so.
      for i in segment.range {
        let gradient = self[.gradients][i] * gradientScale
        self[.weights][i] *= 1 - rate * decay
        self[.firstMoment][i] = beta1 * self[.firstMoment][i] + (1 - beta1) * gradient
        self[.secondMoment][i] = beta2 * self[.secondMoment][i] + (1 - beta2) * gradient * gradient
        let denominator = (self[.secondMoment][i] / correction2).squareRoot() + Double(update.epsilon)
        self[.weights][i] -= rate * self[.firstMoment][i] / correction1 / denominator
      }
    }
  }

  private func apply(_ muon: OptimizerUpdate.Muon, _ matrix: TensorLayout.Matrix, gradientScale: Double) {
    let (rows, columns) = (matrix.rows, matrix.columns)
    let range = matrix.offset..<matrix.offset + rows * columns
    let momentum = Double(muon.momentum)
    var x = range.map { i in
      let gradient = (1 - momentum) * self[.gradients][i] * gradientScale
      self[.firstMoment][i] = momentum * self[.firstMoment][i] + gradient
      return momentum * self[.firstMoment][i] + gradient
    }
    let norm = x.reduce(0) { $0 + $1 * $1 }.squareRoot()
    x = x.map { $0 / (Double(OptimizerUpdate.Muon.normMargin) * norm + 1e-7) }
    for (a, b, c) in OptimizerUpdate.Muon.orthogonalization {
      let square = product(x, transposed(x, rows, columns), rows, columns, rows)  // (rows, rows)
      let fourth = product(square, square, rows, rows, rows)
      let factor = zip(square, fourth).map { Double(b) * $0 + Double(c) * $1 }
      x = zip(x, product(factor, x, rows, rows, columns)).map { Double(a) * $0 + $1 }
    }
    let rate = Double(muon.learningRate)
    let step = rate * max(1, Double(rows) / Double(columns)).squareRoot()
    for (i, direction) in zip(range, x) {
      self[.weights][i] = self[.weights][i] * (1 - rate * Double(muon.weightDecay)) - step * direction
    }
  }

  private func transposed(_ x: [Double], _ rows: Int, _ columns: Int) -> [Double] {
    (0..<columns).flatMap { j in (0..<rows).map { x[$0 * columns + j] } }
  }

  /// (m, k) · (k, n)
  private func product(_ a: [Double], _ b: [Double], _ m: Int, _ k: Int, _ n: Int) -> [Double] {
    var c = [Double](repeating: 0, count: m * n)
    for i in 0..<m {
      for p in 0..<k { for j in 0..<n { c[i * n + j] += a[i * k + p] * b[p * n + j] } }
    }
    return c
  }

  private func power(_ base: Double, _ exponent: Int) -> Double {
    (0..<exponent).reduce(1) { product, _ in product * base }
  }
}
