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

  package func update(_ update: AdamWUpdate) {
    let norm = self[.gradients].reduce(0) { $0 + $1 * $1 }.squareRoot()
    totals.gradientNorm = norm / Double(update.lossScale)
    reports.append(totals)
    if totals.isFinite { apply(update, gradientScale: Double(update.gradientScale(norm: totals.gradientNorm))) }
  }

  private func apply(_ update: AdamWUpdate, gradientScale: Double) {
    let rate = Double(update.learningRate)
    let (beta1, beta2) = (Double(update.beta1), Double(update.beta2))
    let correction1 = 1 - power(beta1, update.step)
    let correction2 = 1 - power(beta2, update.step)
    for entry in layout.entries where entry.isTrainable {
      let decay = entry.shape.rank >= 2 ? Double(update.weightDecay) : 0
      for i in entry.offset..<entry.offset + entry.shape.count {
        let gradient = self[.gradients][i] * gradientScale
        self[.weights][i] *= 1 - rate * decay
        self[.firstMoment][i] = beta1 * self[.firstMoment][i] + (1 - beta1) * gradient
        self[.secondMoment][i] = beta2 * self[.secondMoment][i] + (1 - beta2) * gradient * gradient
        let denominator = (self[.secondMoment][i] / correction2).squareRoot() + Double(update.epsilon)
        self[.weights][i] -= rate * self[.firstMoment][i] / correction1 / denominator
      }
    }
  }

  private func power(_ base: Double, _ exponent: Int) -> Double {
    (0..<exponent).reduce(1) { product, _ in product * base }
  }
}
