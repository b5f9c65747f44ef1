import Compute

/// A step of a program, with everything bound.
enum Command {
  case kernel(KernelCall)
  case product(MatrixProducts.Call)
  case clear(Address, bytes: Int)
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
