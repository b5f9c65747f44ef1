internal import CCUDA
import Compute

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

/// One GPU, opened: its context, and the stream in which all work runs in the order in which it is asked for.
///
/// Calls may come from any thread, one at a time; whatever begins something makes the context current first.
final class GPU {
  let libraries: CUDALibraries
  let device: CUDADevice
  let stream: CUstream
  private let context: CUcontext
  private let finished: CUevent
  /// How long the GPU may be at one piece of work.
  private let patience: Duration
  /// It has failed or hangs: whoever waits for it, if only to free memory, waits forever.
  private(set) var isLost = false
  /// Of all memory that was asked for and is not freed.
  var plannedBytes = 0
  /// What was free before anything was asked for.
  private let freeBytes: Int
  /// Where pieces of work begin and end, in turn; nil while nobody watches.
  private var marks: [CUevent]?

  /// - Throws: ``ComputeError/device(_:)``.
  init(_ libraries: CUDALibraries, _ device: CUDADevice, patience: Duration) throws(ComputeError) {
    self.libraries = libraries
    self.device = device
    self.patience = patience
    let driver = libraries.driver
    func check(_ result: CUresult, _ call: String) throws(ComputeError) {
      do { try driver.check(result, call) } catch { throw .device("\(device.name): \(error)") }
    }
    func made(_ object: OpaquePointer?) throws(ComputeError) -> OpaquePointer {
      guard let object else { throw .device("\(device.name): the driver gives nothing") }
      return object
    }
    var handle: CUdevice = 0
    try check(driver.cuDeviceGet(&handle, device.ordinal), "cuDeviceGet")
    var context: CUcontext?
    try check(driver.cuDevicePrimaryCtxRetain(&context, handle), "cuDevicePrimaryCtxRetain")
    self.context = try made(context)
    try check(driver.cuCtxSetCurrent(context), "cuCtxSetCurrent")
    var stream: CUstream?
    try check(driver.cuStreamCreate(&stream, UInt32(CU_STREAM_NON_BLOCKING)), "cuStreamCreate")
    self.stream = try made(stream)
    var event: CUevent?
    try check(driver.cuEventCreate(&event, UInt32(CU_EVENT_DISABLE_TIMING)), "cuEventCreate")
    finished = try made(event)
    var (free, total) = (0, 0)
    try check(driver.cuMemGetInfo_v2(&free, &total), "cuMemGetInfo")
    freeBytes = free
  }

  // The context stays until the process ends: freeing memory needs it, and another executor may share it.

  var driver: mf_cuda { libraries.driver }

  func makeCurrent() throws(ComputeError) {
    try check(libraries.driver.cuCtxSetCurrent(context), "cuCtxSetCurrent")
  }

  func check(_ result: CUresult, _ call: String) throws(ComputeError) {
    if result == CUDA_SUCCESS { return }
    isLost = isLost || Self.isFinal(result)
    do { try libraries.driver.check(result, call) } catch { throw .device("\(device.name): \(error)") }
  }

  /// Errors after which a context answers nothing but the same error: a lost card, launches that failed or timed out.
  private static func isFinal(_ result: CUresult) -> Bool {
    [214, 700, 702, 710].contains(result) || (714...719).contains(result)
  }

  // MARK: Waiting

  func makeEvent(isTimed: Bool = false) throws(ComputeError) -> CUevent {
    var event: CUevent?
    let flags = isTimed ? 0 : UInt32(CU_EVENT_DISABLE_TIMING)
    try check(libraries.driver.cuEventCreate(&event, flags), "cuEventCreate")
    guard let event else { throw .device("\(device.name): the driver gives nothing") }
    return event
  }

  func destroy(_ event: CUevent) {
    if !isLost { _ = libraries.driver.cuEventDestroy_v2(event) }
  }

  func record(_ event: CUevent) throws(ComputeError) {
    try check(libraries.driver.cuEventRecord(event, stream), "cuEventRecord")
  }

  /// The time between two events that were made to be timed and have come.
  func milliseconds(from start: CUevent, to end: CUevent) throws(ComputeError) -> Double {
    var time: Float = 0
    try check(libraries.driver.cuEventElapsedTime(&time, start, end), "cuEventElapsedTime")
    return Double(time)
  }

  /// Waits until everything that was asked for has run.
  func synchronize() throws(ComputeError) {
    try record(finished)
    try wait(for: finished)
  }

  /// - Throws: ``ComputeError/device(_:)``, also when it takes longer than anybody's patience.
  func wait(for event: CUevent) throws(ComputeError) {
    let start = ContinuousClock.now
    while true {
      let state = libraries.driver.cuEventQuery(event)
      if state != CUDA_ERROR_NOT_READY { return try check(state, "cuEventQuery") }
      let waited = ContinuousClock.now - start
      if waited > patience {
        isLost = true
        throw .device("\(device.name) has not answered for \(patience)")
      }
      // A token of a small model takes less than going to sleep does.
      if waited > .milliseconds(1) { usleep(50) }
    }
  }

  // MARK: Watching

  func beginWatching() throws(ComputeError) {
    try synchronize()
    marks = []
  }

  func endWatching() throws(ComputeError) -> DeviceUse {
    let marks = self.marks ?? []
    self.marks = nil
    try synchronize()
    defer { for event in marks { destroy(event) } }
    var idle = 0.0
    for index in stride(from: 2, to: marks.count, by: 2) {
      idle += try milliseconds(from: marks[index - 1], to: marks[index])
    }
    let whole = try marks.count < 2 ? 0 : milliseconds(from: marks[0], to: marks[marks.count - 1])
    var (free, total) = (0, 0)
    try check(libraries.driver.cuMemGetInfo_v2(&free, &total), "cuMemGetInfo")
    return DeviceUse(
      plannedBytes: plannedBytes, reportedBytes: freeBytes - free, idleShare: whole > 0 ? idle / whole : 0)
  }

  /// A piece of work that the GPU does without waiting for the host.
  func work(_ body: () throws(ComputeError) -> Void) throws(ComputeError) {
    try mark()
    try body()
    try mark()
  }

  private func mark() throws(ComputeError) {
    guard marks != nil else { return }
    let event = try makeEvent(isTimed: true)
    try record(event)
    marks?.append(event)
  }

  // MARK: Copying

  func copy(_ source: UnsafeRawPointer, to address: Address, bytes: Int) throws(ComputeError) {
    try check(libraries.driver.cuMemcpyHtoDAsync_v2(address.value, source, bytes, stream), "cuMemcpyHtoDAsync")
  }

  func copy(_ address: Address, to destination: UnsafeMutableRawPointer, bytes: Int) throws(ComputeError) {
    try check(libraries.driver.cuMemcpyDtoHAsync_v2(destination, address.value, bytes, stream), "cuMemcpyDtoHAsync")
  }

  func clear(_ address: Address, bytes: Int) throws(ComputeError) {
    try check(libraries.driver.cuMemsetD8Async(address.value, 0, bytes, stream), "cuMemsetD8Async")
  }
}
