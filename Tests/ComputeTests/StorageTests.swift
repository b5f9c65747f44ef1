import CKernels
import Compute
import ComputeCPU
import TestSupport
import Testing

/// Halves as kernels store them, against the definition of their bits.
@Suite("Storage in halves")
struct StorageTests {
  @Test("widens every half to its value", arguments: [Precision.bf16, .fp16])
  func widens(precision: Precision) throws {
    let halves = (0...UInt16.max).map { $0 }
    let expected = halves.map { Float(bits: $0, of: precision.dtype) }
    for kernels in try Kernels.all(precision) {
      let wrong = zip(zip(halves, kernels.widen(halves)), expected).first { pair, expected in
        !(pair.1.bitPattern == expected.bitPattern || pair.1.isNaN && expected.isNaN)
      }
      #expect(wrong == nil, "in \(kernels.name)")
    }
  }

  @Test("rounds to the nearest half, ties to even", arguments: [Precision.bf16, .fp16])
  func narrows(precision: Precision) throws {
    let infinity: UInt16 = precision == .bf16 ? 0x7F80 : 0x7C00
    // Halves, the middle between each and the next, and their neighbours.
    let between = (0..<infinity).flatMap { bits in
      let value = Float(bits: bits, of: precision.dtype)
      let next = bits + 1 == infinity ? value + value.ulp : Float(bits: bits + 1, of: precision.dtype)
      let middle = Float((Double(value) + Double(next)) / 2)
      return [value, middle.nextDown, middle, middle.nextUp]
    }
    let largest = Float(bits: infinity - 1, of: precision.dtype)
    let limit = Float(Double(largest) + Double(largest - Float(bits: infinity - 2, of: precision.dtype)) / 2)
    let special = [
      limit.nextDown, limit, limit.nextUp, .greatestFiniteMagnitude, .infinity, .nan, .leastNonzeroMagnitude,
      .leastNormalMagnitude, .leastNormalMagnitude.nextDown, Float(bitPattern: 0x7F80_0001),
      Float(bitPattern: 0x7FFF_FFFF),
    ]
    let any = integers(100_000, below: Int(Int32.max), seed: 9).map { Float(bitPattern: UInt32(bitPattern: $0)) }
    let values = (between + special + any).flatMap { [$0, -$0] }
    let expected = values.map { $0.nearest(of: precision.dtype) }
    for kernels in try Kernels.all(precision) {
      let wrong = zip(zip(values, kernels.narrow(values)), expected).first { pair, expected in
        let (value, half) = pair
        // The instruction for bf16 takes numbers below the least normal one for 0.
        let flushes = kernels.name == "avx512bf16" && value.magnitude < .leastNormalMagnitude
        return value.isNaN ? half & 0x7FFF <= infinity : half != (flushes ? expected & 0x8000 : expected)
      }
      #expect(wrong == nil, "in \(kernels.name)")
    }
  }

  @Test("touches nothing beyond the elements", arguments: [1, 7, 8, 15, 16, 17, 65])
  func lengths(count: Int) throws {
    for precision in [Precision.bf16, .fp16] {
      for kernels in try Kernels.all(precision) {
        let values = normals(count, seed: 4)
        #expect(kernels.narrow(values) == values.map { $0.nearest(of: precision.dtype) })
        // Also the short ways to round that other tests take.
        #expect(kernels.widen(kernels.narrow(values)) == values.map { $0.rounded(to: precision.dtype) })
      }
    }
  }
}

/// One instruction set's conversions, called as C has them.
private final class Kernels {
  let name: String
  private let table: mf_kernels
  private let pool: OpaquePointer

  static func all(_ precision: Precision) throws -> [Kernels] {
    let storage = precision == .bf16 ? MF_BF16 : MF_FP16
    return try [MF_ISA_PLAIN, MF_ISA_NEON, MF_ISA_AVX2, MF_ISA_AVX512, MF_ISA_AVX512_BF16].compactMap {
      try mf_kernels_for($0, storage).map { try Kernels($0.pointee) }
    }
  }

  private init(_ table: mf_kernels) throws {
    self.table = table
    name = String(cString: table.name)
    pool = try #require(mf_pool_create(1))
  }

  deinit { mf_pool_destroy(pool) }

  func widen(_ halves: [UInt16]) -> [Float] {
    var values = [Float](repeating: .nan, count: halves.count + 8)
    table.widen(pool, Int64(halves.count), halves, &values)
    #expect(values.suffix(8).allSatisfy { $0.isNaN }, "written beyond the end in \(name)")
    return values.dropLast(8)
  }

  func narrow(_ values: [Float]) -> [UInt16] {
    var halves = [UInt16](repeating: 0xABCD, count: values.count + 8)
    table.narrow(pool, Int64(values.count), values, &halves)
    #expect(halves.suffix(8).allSatisfy { $0 == 0xABCD }, "written beyond the end in \(name)")
    return halves.dropLast(8)
  }
}
