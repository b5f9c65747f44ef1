internal import CCUDA
import Compute

/// A launch with everything bound.
struct KernelCall {
  fileprivate let function: CUfunction
  fileprivate let name: String
  fileprivate let grid: (x: UInt32, y: UInt32, z: UInt32)
  fileprivate let threads: UInt32
  fileprivate let sharedBytes: UInt32
  fileprivate let arguments: [UInt64]
}

/// The kernels of one GPU, compiled and loaded when they are first asked for.
final class Kernels {
  /// A file of Sources/CCUDA/kernels.
  enum File: String {
    case activation, attention, convolution, dropout, elementwise, embedding, muon, norm, optimizer, rotary, sums
    case attentionTensor = "attention_tensor"
    case cachedAttention = "cached_attention"
    case headLoss = "head_loss"
    case headNorm = "head_norm"
    case meanPool = "mean_pool"
  }

  private struct Key: Hashable {
    let file: File
    let storage: Precision
    let size: Int?
  }

  private struct Name: Hashable {
    let name: String
    let module: Key
  }

  private let gpu: GPU
  private let compiler: KernelCompiler
  private var modules: [Key: CUmodule] = [:]
  private var functions: [Name: CUfunction] = [:]
  /// Dynamic shared memory that was asked for, beyond what is granted unasked.
  private var granted: [CUfunction: Int] = [:]

  init(_ gpu: GPU, cache: String?) {
    self.gpu = gpu
    compiler = KernelCompiler(gpu.libraries, gpu.device, cache: cache)
  }

  /// Binds a launch.
  ///
  /// - Parameters:
  ///   - storage: of the kernel's activations.
  ///   - size: of kernels that are compiled for one: of a head, or the widest row.
  ///   - arguments: in the kernel's order and of its types.
  /// - Throws: ``ComputeError/device(_:)``; ``ComputeError/unavailable(_:)`` for more shared memory than there is.
  func call(
    _ file: File, _ name: String, storage: Precision, size: Int? = nil, grid: (Int, Int, Int), threads: Int,
    sharedBytes: Int = 0, _ arguments: [any KernelArgument]
  ) throws(ComputeError) -> KernelCall {
    let function = try function(name, Key(file: file, storage: storage, size: size))
    try grant(sharedBytes, to: function, name)
    return KernelCall(
      function: function, name: name,
      grid: (UInt32(clamping: grid.0), UInt32(clamping: grid.1), UInt32(clamping: grid.2)),
      threads: UInt32(clamping: threads), sharedBytes: UInt32(clamping: sharedBytes), arguments: arguments.map(\.word))
  }

  func launch(_ call: KernelCall) throws(ComputeError) {
    var words = call.arguments
    let result = words.withUnsafeMutableBufferPointer { words in
      withUnsafeTemporaryAllocation(of: UnsafeMutableRawPointer?.self, capacity: words.count) { pointers in
        for index in words.indices { pointers.initializeElement(at: index, to: words.baseAddress.map { $0 + index }) }
        return gpu.libraries.driver.cuLaunchKernel(
          call.function, call.grid.x, call.grid.y, call.grid.z, call.threads, 1, 1, call.sharedBytes, gpu.stream,
          pointers.baseAddress, nil)
      }
    }
    try gpu.check(result, "cuLaunchKernel of \(call.name)")
  }

  private func function(_ name: String, _ key: Key) throws(ComputeError) -> CUfunction {
    if let known = functions[Name(name: name, module: key)] { return known }
    try gpu.makeCurrent()
    let module = try module(key)
    var function: CUfunction?
    try gpu.check(gpu.libraries.driver.cuModuleGetFunction(&function, module, name), "cuModuleGetFunction of \(name)")
    guard let function else { throw .device("\(key.file.rawValue).cu has no \(name)") }
    functions[Name(name: name, module: key)] = function
    return function
  }

  private func module(_ key: Key) throws(ComputeError) -> CUmodule {
    if let known = modules[key] { return known }
    let storage = ["MF_STORAGE=\(key.storage.storage)"]
    let module = try compiler.compile(
      key.file.rawValue + ".cu", defines: storage + (key.size.map { ["MF_SIZE=\($0)"] } ?? [])
    ) { image in
      var module: CUmodule?
      return gpu.libraries.driver.cuModuleLoadData(&module, image) == CUDA_SUCCESS ? module : nil
    }
    modules[key] = module
    return module
  }

  private func grant(_ bytes: Int, to function: CUfunction, _ name: String) throws(ComputeError) {
    // 48 KiB are granted unasked, static shared memory included: at most 8 KiB in our kernels.
    guard bytes > max(40 << 10, granted[function] ?? 0) else { return }
    let result = gpu.libraries.driver.cuFuncSetAttribute(
      function, Int32(CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES), Int32(clamping: bytes))
    guard result == CUDA_SUCCESS else {
      throw .unavailable("\(gpu.device.name) has less shared memory than the \(bytes >> 10) KiB that \(name) needs")
    }
    granted[function] = bytes
  }
}

extension Precision {
  /// MF_STORAGE of the kernels.
  fileprivate var storage: Int {
    switch self {
    case .fp32: 0
    case .bf16: 1
    case .fp16: 2
    }
  }
}
