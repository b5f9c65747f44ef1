import Compute

/// A step of a program or of an update, with everything bound.
enum Command {
  case kernel(KernelCall)
  case product(MatrixProducts.Call)
  case clear(Address, bytes: Int)

  func run(on gpu: GPU, _ kernels: Kernels, _ products: MatrixProducts) throws(ComputeError) {
    switch self {
    case .kernel(let call): try kernels.launch(call)
    case .product(let call): try products.run(call)
    case .clear(let address, let bytes): try gpu.clear(address, bytes: bytes)
    }
  }
}

/// Room that operations use for themselves, one after another: each begins with all of it.
final class Scratch {
  private let base: Address
  private var used = 0
  /// What the operation that needed most has used.
  private(set) var mostBytes = 0

  init(at base: Address) { self.base = base }

  func begin() { used = 0 }

  func take(bytes: Int) -> Address {
    defer {
      used = aligned(used + bytes, to: 256)
      mostBytes = max(mostBytes, used)
    }
    return base + used
  }
}
