import Compute

/// Values between the host, which has fp32, and the GPU, which may have halves.
extension Kernels {
  /// fp32 → halves.
  func narrow(_ source: Address, to destination: Address, count: Int, _ precision: Precision) throws(ComputeError) {
    try convert("mf_narrow", source, destination, count, precision)
  }

  private func convert(
    _ name: String, _ source: Address, _ destination: Address, _ count: Int, _ precision: Precision
  ) throws(ComputeError) {
    try launch(
      call(
        .elementwise, name, storage: precision, grid: ((count + 2047) / 2048, 1, 1), threads: 256,
        [count, source, destination]))
  }

  /// Copies values of a precision to the host, and waits for them.
  func read(
    _ address: Address, _ precision: Precision, into destination: UnsafeMutableBufferPointer<Float>, _ gpu: GPU
  ) throws(ComputeError) {
    guard let pointer = destination.baseAddress, !destination.isEmpty else { return }
    try gpu.makeCurrent()
    if precision == .fp32 {
      try gpu.copy(address, to: pointer, bytes: 4 * destination.count)
      return try gpu.synchronize()
    }
    let wide = try DeviceMemory(gpu, bytes: 4 * destination.count, purpose: "values on their way to the host")
    try convert("mf_widen", address, wide.address, destination.count, precision)
    try gpu.copy(wide.address, to: pointer, bytes: 4 * destination.count)
    try gpu.synchronize()
  }

  /// Copies values from the host, rounded to a precision, and waits until they are there.
  func write(
    _ source: UnsafeBufferPointer<Float>, to address: Address, _ precision: Precision, _ gpu: GPU
  ) throws(ComputeError) {
    guard let pointer = source.baseAddress, !source.isEmpty else { return }
    try gpu.makeCurrent()
    if precision == .fp32 {
      try gpu.copy(pointer, to: address, bytes: 4 * source.count)
      return try gpu.synchronize()
    }
    let wide = try DeviceMemory(gpu, bytes: 4 * source.count, purpose: "values on their way to the GPU")
    try gpu.copy(pointer, to: wide.address, bytes: 4 * source.count)
    try narrow(wide.address, to: address, count: source.count, precision)
    try gpu.synchronize()
  }
}
