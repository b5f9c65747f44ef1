import Compute

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

/// Zeroed fp32 memory straight from the system, in huge pages where it has them.
struct FloatMemory: ~Copyable {
  let pointer: UnsafeMutablePointer<Float>
  let count: Int
  private let bytes: Int

  /// - Throws: ``ComputeError/outOfMemory(bytes:purpose:)``.
  init(count: Int, purpose: String) throws(ComputeError) {
    self.count = count
    bytes = aligned(max(1, count) * MemoryLayout<Float>.stride, to: 4096)
    guard MemoryBudget.take(bytes) else { throw .outOfMemory(bytes: bytes, purpose: purpose) }
    let address = mmap(nil, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    guard let address, address != MAP_FAILED else {
      MemoryBudget.give(bytes)
      throw .outOfMemory(bytes: bytes, purpose: purpose)
    }
    #if os(Linux)
    // Best effort: fewer TLB misses in the matrix products.
    _ = madvise(address, bytes, MADV_HUGEPAGE)
    #endif
    pointer = address.bindMemory(to: Float.self, capacity: count)
  }

  deinit {
    munmap(pointer, bytes)
    MemoryBudget.give(bytes)
  }
}
