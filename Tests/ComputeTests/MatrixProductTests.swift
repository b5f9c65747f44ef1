import CKernels
import Compute
import Glibc
import Testing

/// Products of random shapes, layouts and alignments against fp64 sums over the rounded operands. Operands end where a
/// page begins that nobody may read; rows further apart than they are wide have NaN between them.
@Suite("Matrix products")
struct MatrixProductTests {
  @Test("match fp64 sums, touch nothing else, and give the same bits for any number of threads", arguments: tables)
  func matchesSums(table: Table) throws {
    let kernels = try #require(mf_kernels_for(table.isa, table.storage))
    let pools = try (1...3).map { threads in
      let pool = try #require(mf_pool_create(Int32(threads)))
      #expect(mf_pool_reserve(pool, mf_gemm_scratch()))
      return pool
    }
    defer { for pool in pools { mf_pool_destroy(pool) } }
    for index in 0..<60 {
      let product = Product(index: index, storage: table.storage)
      let results = pools.map { pool in product.run { kernels.pointee.gemm(pool, &$0) } }
      #expect(results[0].bytes == results[1].bytes && results[0].bytes == results[2].bytes, "\(product)")
      #expect(results.allSatisfy { !$0.isPaddingWritten }, "\(product)")
      #expect(product.worstError(results[0]) <= 1, "\(product)")
    }
  }

  struct Table: CustomTestStringConvertible {
    let isa: mf_isa
    let storage: mf_storage
    var testDescription: String { "\(String(cString: mf_kernels_for(isa, storage).pointee.name)), \(storage.label)" }
  }

  /// Every table that this processor can run; AVX512-BF16 has one of its own for bf16 only.
  static let tables: [Table] = [
    MF_ISA_PLAIN, MF_ISA_NEON, MF_ISA_AVX2, MF_ISA_AVX512, MF_ISA_AVX512_BF16,
  ].flatMap { isa in
    [MF_FP32, MF_BF16, MF_FP16].compactMap { storage in
      guard let kernels = mf_kernels_for(isa, storage), kernels.pointee.isa == isa else { return nil }
      return Table(isa: isa, storage: storage)
    }
  }
}

extension mf_storage {
  fileprivate var label: String { self == MF_BF16 ? "bf16" : self == MF_FP16 ? "fp16" : "fp32" }
  fileprivate var size: Int { self == MF_FP32 ? 4 : 2 }
  /// Half a unit in the last place, relative.
  fileprivate var rounding: Double { self == MF_BF16 ? 0x1p-8 : self == MF_FP16 ? 0x1p-11 : 0 }

  fileprivate func load(_ memory: UnsafeMutableRawPointer, _ index: Int) -> Double {
    switch self {
    case MF_BF16:
      Double(Float(bitPattern: UInt32(memory.load(fromByteOffset: 2 * index, as: UInt16.self)) << 16))
    case MF_FP16:
      Double(halfValue(memory.load(fromByteOffset: 2 * index, as: UInt16.self)))
    default:
      Double(memory.load(fromByteOffset: 4 * index, as: Float.self))
    }
  }

  /// Multiples of 1/128 between −1 and 1 (or NaN) need no rounding in any storage type.
  fileprivate func store(_ value: Float, _ memory: UnsafeMutableRawPointer, _ index: Int) {
    switch self {
    case MF_BF16: memory.storeBytes(of: UInt16(value.bitPattern >> 16), toByteOffset: 2 * index, as: UInt16.self)
    case MF_FP16: memory.storeBytes(of: halfBits(value), toByteOffset: 2 * index, as: UInt16.self)
    default: memory.storeBytes(of: value, toByteOffset: 4 * index, as: Float.self)
    }
  }
}

private func halfValue(_ bits: UInt16) -> Float {
  let magnitude = Float(bitPattern: UInt32(bits & 0x7FFF) << 13) * 0x1p112
  let special = Float(bitPattern: UInt32(bits & 0x3FF) << 13 | 0x7F80_0000)
  let absolute = bits & 0x7C00 == 0x7C00 ? special : magnitude
  return bits & 0x8000 == 0 ? absolute : -absolute
}

private func halfBits(_ value: Float) -> UInt16 {
  if value.isNaN { return 0x7E00 }
  let bits = UInt16((value.magnitude * 0x1p-112).bitPattern >> 13)
  return value < 0 ? bits | 0x8000 : bits
}

/// Memory whose last byte is followed by a page that may not be touched.
private final class GuardedMemory {
  let start: UnsafeMutableRawPointer
  private let base: UnsafeMutableRawPointer
  private let length: Int

  init(bytes: Int) {
    let page = sysconf(Int32(_SC_PAGESIZE)), room = (bytes + page - 1) / page * page
    length = room + page
    guard let base = mmap(nil, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), base != MAP_FAILED
    else { fatalError("no memory for a test") }
    self.base = base
    mprotect(base + room, page, PROT_NONE)
    start = base + (room - bytes)
  }

  deinit { munmap(base, length) }
}

/// A matrix of `rows` with `stride` between them.
private struct TestMatrix {
  let rows: Int, columns: Int, stride: Int
  let storage: mf_storage
  let memory: GuardedMemory

  var bytes: Int { rows == 0 ? 0 : ((rows - 1) * stride + columns) * storage.size }

  init(_ rows: Int, _ columns: Int, stride: Int, _ storage: mf_storage, _ random: inout Numbers) {
    self.rows = rows
    self.columns = columns
    self.stride = stride
    self.storage = storage
    memory = GuardedMemory(bytes: rows == 0 ? 0 : ((rows - 1) * stride + columns) * storage.size)
    for row in 0..<rows {
      for column in 0..<(row + 1 < rows ? stride : columns) {
        storage.store(column < columns ? random.fraction() : .nan, memory.start, row * stride + column)
      }
    }
  }

  subscript(row: Int, column: Int) -> Double { storage.load(memory.start, row * stride + column) }
}

private struct Numbers {
  private let philox: Philox
  private let stream: UInt32
  private var used: UInt64 = 0

  init(seed: UInt64, stream: UInt32) {
    philox = Philox(seed: seed)
    self.stream = stream
  }

  mutating func below(_ bound: Int) -> Int {
    used += 1
    return Int(philox.word(used, stream: stream) % UInt32(bound))
  }
  mutating func fraction() -> Float { Float(below(257) - 128) / 128 }
  mutating func coin() -> Bool { below(2) == 0 }
}

private struct Result {
  let bytes: [UInt8]
  let isPaddingWritten: Bool
}

private final class Product: CustomStringConvertible {
  private enum Initial { case none, other, itself }

  private let m: Int, n: Int, k: Int
  private let a: TestMatrix, b: TestMatrix, initial: TestMatrix, bias: TestMatrix
  private let aTransposed: Bool, bTransposed: Bool, hasBias: Bool
  private let initialKind: Initial
  private let ldc: Int
  private let cStorage: mf_storage

  init(index: Int, storage: mf_storage) {
    var random = Numbers(seed: 7, stream: UInt32(index))
    // Some long in k, some with few rows, some of no depth.
    let limit = index % 3 == 0 ? 40 : 300
    m = index % 5 == 0 ? 1 + random.below(9) : 1 + random.below(limit)
    n = 1 + random.below(limit)
    k = index == 7 ? 0 : index % 6 == 0 ? 1000 + random.below(2500) : 1 + random.below(limit)
    aTransposed = random.coin()
    bTransposed = random.coin()
    hasBias = random.coin()
    initialKind = [.none, .other, .itself][random.below(3)]
    cStorage = random.coin() ? MF_FP32 : storage
    var gap = 0
    func stride(_ columns: Int) -> Int {
      gap = random.coin() ? 0 : random.below(70)
      return columns + gap
    }
    let aRows = aTransposed ? k : m, aColumns = aTransposed ? m : k
    // Rows a multiple of 4 KiB apart are copied by some kernels.
    let lda = index % 9 == 0 ? (aColumns + 2047) / 2048 * 2048 : stride(aColumns)
    a = TestMatrix(aRows, aColumns, stride: lda, storage, &random)
    b = TestMatrix(bTransposed ? n : k, bTransposed ? k : n, stride: stride(bTransposed ? k : n), storage, &random)
    ldc = stride(n)
    initial = TestMatrix(m, n, stride: ldc, cStorage, &random)
    bias = TestMatrix(1, n, stride: n, MF_FP32, &random)
  }

  var description: String {
    "\(m) × \(n) × \(k), A\(aTransposed ? "ᵀ" : "") by \(a.stride), B\(bTransposed ? "ᵀ" : "") by \(b.stride), C "
      + "\(cStorage.label) by \(ldc), initial \(initialKind)\(hasBias ? ", bias" : "")"
  }

  func run(_ gemm: (inout mf_gemm) -> Void) -> Result {
    let size = cStorage.size, count = ((m - 1) * ldc + n) * size, room = 64
    let memory = GuardedMemory(bytes: count + room), c = memory.start + room / 2
    memset(memory.start, 0x5A, count + room)
    if case .itself = initialKind {
      for row in 0..<m { memcpy(c + row * ldc * size, initial.memory.start + row * ldc * size, n * size) }
    }
    var arguments = mf_gemm()
    (arguments.m, arguments.n, arguments.k) = (Int64(m), Int64(n), Int64(k))
    (arguments.a, arguments.lda, arguments.a_transposed) = (.init(a.memory.start), Int64(a.stride), aTransposed)
    (arguments.b, arguments.ldb, arguments.b_transposed) = (.init(b.memory.start), Int64(b.stride), bTransposed)
    (arguments.c, arguments.ldc, arguments.c_fp32) = (c, Int64(ldc), cStorage == MF_FP32)
    switch initialKind {
    case .none: break
    case .other: arguments.initial = .init(initial.memory.start)
    case .itself: arguments.initial = .init(c)
    }
    arguments.ld_initial = Int64(ldc)
    if hasBias { arguments.bias = .init(bias.memory.start.assumingMemoryBound(to: Float.self)) }
    gemm(&arguments)
    let all = [UInt8](UnsafeRawBufferPointer(start: memory.start, count: count + room))
    let bytes = [UInt8](all[(room / 2)..<(room / 2 + count)])
    let isOutside = { (byte: Int) in byte < 0 || byte >= count || byte % (self.ldc * size) >= self.n * size }
    return Result(bytes: bytes, isPaddingWritten: all.indices.contains { isOutside($0 - room / 2) && all[$0] != 0x5A })
  }

  /// The largest error, relative to the bound of a sum of k rounded terms and one rounding of the result.
  func worstError(_ result: Result) -> Double {
    let aValues = (0..<m).flatMap { i in (0..<k).map { p in aTransposed ? a[p, i] : a[i, p] } }
    let bValues = (0..<n).flatMap { j in (0..<k).map { p in bTransposed ? b[j, p] : b[p, j] } }
    var worst = 0.0
    var bytes = result.bytes
    bytes.withUnsafeMutableBytes { c in
      guard let memory = c.baseAddress else { return }
      for i in 0..<m {
        for j in 0..<n {
          var sum = 0.0, magnitude = 0.0
          for p in 0..<k {
            let term = aValues[i * k + p] * bValues[j * k + p]
            sum += term
            magnitude += abs(term)
          }
          for term in [hasBias ? bias[0, j] : 0, initialKind == .none ? 0 : initial[i, j]] {
            sum += term
            magnitude += abs(term)
          }
          let bound = magnitude * Double(k + 4) * 0x1p-24 + abs(sum) * cStorage.rounding * 1.001 + 1e-30
          let error = abs(cStorage.load(memory, i * ldc + j) - sum) / bound
          worst = error.isNaN ? .infinity : max(worst, error)
        }
      }
    }
    return worst
  }
}
