#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

/// Zeroed memory straight from the system, in huge pages where it has them.
package struct SystemMemory: ~Copyable {
  package let pointer: UnsafeMutableRawPointer
  private let bytes: Int

  /// - Throws: ``ComputeError/outOfMemory(bytes:purpose:)``.
  package init(bytes wanted: Int, purpose: String) throws(ComputeError) {
    bytes = aligned(max(1, wanted), to: 4096)
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
    pointer = address
  }

  /// - Parameter floats: how many there is to be room for.
  /// - Throws: ``ComputeError/outOfMemory(bytes:purpose:)``.
  package init(floats: Int, purpose: String) throws(ComputeError) {
    try self.init(bytes: floats * MemoryLayout<Float>.stride, purpose: purpose)
  }

  /// What all of them hold now.
  package static var heldBytes: Int { MemoryBudget.held }

  package var floats: UnsafeMutablePointer<Float> { pointer.assumingMemoryBound(to: Float.self) }

  deinit {
    munmap(pointer, bytes)
    MemoryBudget.give(bytes)
  }
}
