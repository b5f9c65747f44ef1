internal import CCUDA
import Compute

/// Memory of the GPU, all zero at first.
struct DeviceMemory: ~Copyable {
  let address: Address
  private let gpu: GPU
  private let bytes: Int

  /// - Throws: ``ComputeError/outOfMemory(bytes:purpose:)``, ``ComputeError/device(_:)``.
  init(_ gpu: GPU, bytes: Int, purpose: String) throws(ComputeError) {
    let bytes = aligned(max(1, bytes), to: 256)
    try gpu.makeCurrent()
    var address: CUdeviceptr = 0
    let result = gpu.libraries.driver.cuMemAlloc_v2(&address, bytes)
    if result == CUDA_ERROR_OUT_OF_MEMORY { throw .outOfMemory(bytes: bytes, purpose: "\(purpose) on the GPU") }
    try gpu.check(result, "cuMemAlloc")
    try gpu.clear(Address(value: address), bytes: bytes)
    gpu.plannedBytes += bytes
    self.gpu = gpu
    self.bytes = bytes
    self.address = Address(value: address)
  }

  deinit {
    guard !gpu.isLost, (try? gpu.makeCurrent()) != nil else { return }
    gpu.plannedBytes -= bytes
    _ = gpu.libraries.driver.cuMemFree_v2(address.value)
  }
}

/// Memory of the host that the GPU copies from and to by itself, while the host goes on.
struct PinnedMemory: ~Copyable {
  let pointer: UnsafeMutableRawPointer
  private let gpu: GPU

  /// - Throws: ``ComputeError/outOfMemory(bytes:purpose:)``, ``ComputeError/device(_:)``.
  init(_ gpu: GPU, bytes: Int, purpose: String) throws(ComputeError) {
    try gpu.makeCurrent()
    var pointer: UnsafeMutableRawPointer?
    let result = gpu.libraries.driver.cuMemAllocHost_v2(&pointer, max(1, bytes))
    if result == CUDA_ERROR_OUT_OF_MEMORY { throw .outOfMemory(bytes: bytes, purpose: purpose) }
    try gpu.check(result, "cuMemAllocHost")
    guard let pointer else { throw .outOfMemory(bytes: bytes, purpose: purpose) }
    self.pointer = pointer
    self.gpu = gpu
  }

  deinit {
    guard !gpu.isLost, (try? gpu.makeCurrent()) != nil else { return }
    _ = gpu.libraries.driver.cuMemFreeHost(pointer)
  }
}

/// Room in which the host writes what the GPU is to read: two halves, so that one is written while the other is read.
final class Staging {
  private let gpu: GPU
  private let memory: PinnedMemory
  private let bytes: Int
  private let events: [CUevent]
  private var turn = 0

  init(_ gpu: GPU, bytes: Int, purpose: String) throws(ComputeError) {
    self.gpu = gpu
    self.bytes = aligned(max(1, bytes), to: 64)
    memory = try PinnedMemory(gpu, bytes: 2 * self.bytes, purpose: purpose)
    events = [try gpu.makeEvent(), try gpu.makeEvent()]
  }

  deinit { for event in events { gpu.destroy(event) } }

  /// The half to write in now.
  var pointer: UnsafeMutableRawPointer { memory.pointer + turn * bytes }

  /// The GPU will have read this half when it comes to here. Turns to the other, waiting until that has been read.
  func swap() throws(ComputeError) {
    try gpu.record(events[turn])
    turn = 1 - turn
    try gpu.wait(for: events[turn])
  }
}
