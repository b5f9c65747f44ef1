internal import CCUDA

/// A GPU, as its driver describes it.
package struct CUDADevice: Sendable {
  package let name: String
  /// "9.0".
  package let capability: String
  package let memoryBytes: Int
  package let multiprocessors: Int
  /// Of the cache that all multiprocessors share.
  package let cacheBytes: Int
  let ordinal: Int32

  /// The GPUs that there are, in the driver's order (`CUDA_VISIBLE_DEVICES` chooses among them).
  ///
  /// - Throws: ``CUDAError``.
  package static func all(_ libraries: CUDALibraries) throws(CUDAError) -> [CUDADevice] {
    var count: Int32 = 0
    try libraries.driver.check(libraries.driver.cuDeviceGetCount(&count), "cuDeviceGetCount")
    var devices: [CUDADevice] = []
    for ordinal in 0..<max(0, count) { devices.append(try CUDADevice(ordinal, libraries.driver)) }
    return devices
  }

  /// The first GPU, if kernels of ours run on it.
  ///
  /// - Throws: ``CUDAError``.
  package static func first(_ libraries: CUDALibraries) throws(CUDAError) -> CUDADevice {
    guard let device = try all(libraries).first else { throw .noDevice }
    guard device.isSupported else { throw .deviceTooOld(name: device.name, capability: device.capability) }
    return device
  }

  private let major, minor: Int32
  /// The highest clock; 0: the driver names none.
  private let kilohertz: Int32

  private var isSupported: Bool { isAtLeast(7, 5) }

  func isAtLeast(_ major: Int32, _ minor: Int32) -> Bool { (self.major, self.minor) >= (major, minor) }

  /// As NVRTC takes it; Hopper's has instructions that no later one has.
  var architecture: String { "sm_\(major)\(minor)" + (major == 9 ? "a" : "") }

  /// What tensor cores reach in bf16 and fp16 with fp32 sums, FLOP/s, at the clock that the driver names; nil where one
  /// generation has cards with cores of different speed.
  var peakFlopsInHalves: Double? {
    // A multiprocessor's FLOP in a clock, from NVIDIA's white papers on Ampere, Hopper and Blackwell.
    let flopsPerClock: [String: Double] = ["8.0": 2048, "9.0": 4096, "10.0": 8192]
    guard kilohertz > 0, let flops = flopsPerClock[capability] else { return nil }
    return flops * Double(multiprocessors) * Double(kilohertz) * 1000
  }

  private init(_ ordinal: Int32, _ driver: mf_cuda) throws(CUDAError) {
    self.ordinal = ordinal
    var device: CUdevice = 0
    try driver.check(driver.cuDeviceGet(&device, ordinal), "cuDeviceGet")
    var text = [CChar](repeating: 0, count: 256)
    try driver.check(driver.cuDeviceGetName(&text, Int32(text.count), device), "cuDeviceGetName")
    name = String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    var bytes = 0
    try driver.check(driver.cuDeviceTotalMem_v2(&bytes, device), "cuDeviceTotalMem")
    memoryBytes = bytes
    func attribute(_ which: Int) throws(CUDAError) -> Int32 {
      var value: Int32 = 0
      try driver.check(driver.cuDeviceGetAttribute(&value, Int32(which), device), "cuDeviceGetAttribute")
      return value
    }
    major = try attribute(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)
    minor = try attribute(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)
    multiprocessors = Int(try attribute(CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT))
    cacheBytes = Int(try attribute(CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE))
    capability = "\(major).\(minor)"
    kilohertz = (try? attribute(CU_DEVICE_ATTRIBUTE_CLOCK_RATE)) ?? 0
  }
}
