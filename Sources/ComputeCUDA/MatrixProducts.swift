internal import CCUDA
import Compute

/// D = op(A)·op(B) + β·C (+ a bias for each row of D), as cuBLASLt has it: matrices are column-major, so that a row-major
/// (rows, width) value is a matrix of `width` rows.
struct MatrixProduct {
  /// D is m × n, op(A) m × k.
  var m, n, k: Int
  var transposesA = false
  var transposesB = false
  var a, b, d: Address
  var leadingA, leadingB, leadingD: Int
  /// Of A, B and the bias.
  var operands: Precision
  var result: Precision
  /// What is added, laid out as D; nil: nothing.
  var c: Address?
  /// (m).
  var bias: Address?
}

/// Matrix products by cuBLASLt.
final class MatrixProducts {
  private let gpu: GPU
  private let handle: cublasLtHandle_t
  private let workspace: DeviceMemory
  private let workspaceBytes: Int
  private var plans: [Shape: Plan] = [:]

  /// What an algorithm is chosen for.
  private struct Shape: Hashable {
    let m, n, k: Int
    let transposesA, transposesB: Bool
    let leadingA, leadingB, leadingD: Int
    let operands, result: Precision
    let hasBias: Bool
    let alignmentA, alignmentB, alignmentC, alignmentD: Int
  }

  /// A product with its algorithm.
  fileprivate final class Plan {
    fileprivate let description: cublasLtMatmulDesc_t
    fileprivate let layoutA, layoutB, layoutD: cublasLtMatrixLayout_t
    fileprivate var algorithm: cublasLtMatmulAlgo_t

    fileprivate init(
      _ description: cublasLtMatmulDesc_t, _ layoutA: cublasLtMatrixLayout_t, _ layoutB: cublasLtMatrixLayout_t,
      _ layoutD: cublasLtMatrixLayout_t, _ algorithm: cublasLtMatmulAlgo_t
    ) {
      self.description = description
      (self.layoutA, self.layoutB, self.layoutD) = (layoutA, layoutB, layoutD)
      self.algorithm = algorithm
    }
  }

  /// A product with its plan, to be run any number of times.
  struct Call {
    fileprivate let product: MatrixProduct
    fileprivate let plan: Plan
  }

  init(_ gpu: GPU) throws(ComputeError) {
    self.gpu = gpu
    try gpu.makeCurrent()
    var handle: cublasLtHandle_t?
    let status = gpu.libraries.products.cublasLtCreate(&handle)
    guard status == 0, let handle else { throw .device("cuBLASLt can't be used (\(status))") }
    self.handle = handle
    // What NVIDIA advises for each generation.
    workspaceBytes = gpu.device.isAtLeast(9, 0) ? 32 << 20 : 4 << 20
    workspace = try DeviceMemory(gpu, bytes: workspaceBytes, purpose: "the workspace of matrix products")
  }

  // Handles, descriptions and layouts live as long as the process: there is one for each shape of a model.

  /// Chooses an algorithm.
  ///
  /// - Throws: ``ComputeError/device(_:)`` where cuBLASLt knows none.
  func call(_ product: MatrixProduct) throws(ComputeError) -> Call {
    let shape = Shape(
      m: product.m, n: product.n, k: product.k, transposesA: product.transposesA, transposesB: product.transposesB,
      leadingA: product.leadingA, leadingB: product.leadingB, leadingD: product.leadingD, operands: product.operands,
      result: product.result, hasBias: product.bias != nil, alignmentA: product.a.alignment,
      alignmentB: product.b.alignment, alignmentC: (product.c ?? product.d).alignment, alignmentD: product.d.alignment)
    if let plan = plans[shape] { return Call(product: product, plan: plan) }
    let plan = try plan(shape)
    plans[shape] = plan
    return Call(product: product, plan: plan)
  }

  func run(_ call: Call) throws(ComputeError) {
    let (product, plan) = (call.product, call.plan)
    let library = gpu.libraries.products
    if let bias = product.bias {
      try set(plan.description, CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias.value)
    }
    var (alpha, beta): (Float, Float) = (1, product.c == nil ? 0 : 1)
    let status = library.cublasLtMatmul(
      handle, plan.description, &alpha, product.a.pointer, plan.layoutA, product.b.pointer, plan.layoutB, &beta,
      (product.c ?? product.d).pointer, plan.layoutD, product.d.pointer, plan.layoutD, &plan.algorithm,
      workspace.address.pointer, workspaceBytes, gpu.stream)
    try check(status, "a product of \(product.m) × \(product.n) × \(product.k)")
  }

  private func plan(_ shape: Shape) throws(ComputeError) -> Plan {
    let library = gpu.libraries.products
    let what = "a product of \(shape.m) × \(shape.n) × \(shape.k) in \(shape.operands)"
    var made: cublasLtMatmulDesc_t?
    try check(library.cublasLtMatmulDescCreate(&made, Int32(CUBLAS_COMPUTE_32F), Int32(CUDA_R_32F)), what)
    guard let description = made else { throw .device("cuBLASLt gives no description of \(what)") }
    try set(description, CUBLASLT_MATMUL_DESC_TRANSA, Int32(shape.transposesA ? CUBLAS_OP_T : CUBLAS_OP_N))
    try set(description, CUBLASLT_MATMUL_DESC_TRANSB, Int32(shape.transposesB ? CUBLAS_OP_T : CUBLAS_OP_N))
    if shape.hasBias {
      try set(description, CUBLASLT_MATMUL_DESC_EPILOGUE, Int32(CUBLASLT_EPILOGUE_BIAS))
      try set(description, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, shape.operands.cudaType)
    }
    func layout(_ precision: Precision, _ rows: Int, _ columns: Int, _ leading: Int, _ isTransposed: Bool)
      throws(ComputeError) -> cublasLtMatrixLayout_t
    {
      let (rows, columns) = isTransposed ? (columns, rows) : (rows, columns)
      var made: cublasLtMatrixLayout_t?
      try check(
        library.cublasLtMatrixLayoutCreate(&made, precision.cudaType, UInt64(rows), UInt64(columns), Int64(leading)),
        what)
      guard let made else { throw .device("cuBLASLt gives no layout of \(what)") }
      return made
    }
    let a = try layout(shape.operands, shape.m, shape.k, shape.leadingA, shape.transposesA)
    let b = try layout(shape.operands, shape.k, shape.n, shape.leadingB, shape.transposesB)
    let d = try layout(shape.result, shape.m, shape.n, shape.leadingD, false)
    return Plan(description, a, b, d, try algorithm(shape, description, a, b, d, what))
  }

  private func algorithm(
    _ shape: Shape, _ description: cublasLtMatmulDesc_t, _ a: cublasLtMatrixLayout_t, _ b: cublasLtMatrixLayout_t,
    _ d: cublasLtMatrixLayout_t, _ what: String
  ) throws(ComputeError) -> cublasLtMatmulAlgo_t {
    let library = gpu.libraries.products
    var made: cublasLtMatmulPreference_t?
    try check(library.cublasLtMatmulPreferenceCreate(&made), what)
    guard let preference = made else { throw .device("cuBLASLt gives no preference of \(what)") }
    defer { _ = library.cublasLtMatmulPreferenceDestroy(preference) }
    func prefer<Value>(_ attribute: Int, _ value: Value) throws(ComputeError) {
      let status = withUnsafeBytes(of: value) {
        library.cublasLtMatmulPreferenceSetAttribute(preference, Int32(attribute), $0.baseAddress, $0.count)
      }
      try check(status, "the preferences of \(what)")
    }
    try prefer(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, UInt64(workspaceBytes))
    try prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, UInt32(shape.alignmentA))
    try prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, UInt32(shape.alignmentB))
    try prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, UInt32(shape.alignmentC))
    try prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, UInt32(shape.alignmentD))
    var (found, result): (Int32, cublasLtMatmulHeuristicResult_t) = (0, cublasLtMatmulHeuristicResult_t())
    let status = library.cublasLtMatmulAlgoGetHeuristic(
      handle, description, a, b, d, d, preference, 1, &result, &found)
    guard status == 0, found > 0 else { throw .device("cuBLASLt knows no way to compute \(what) (\(status))") }
    return result.algo
  }

  private func set<Value>(
    _ description: cublasLtMatmulDesc_t, _ attribute: Int, _ value: Value
  ) throws(ComputeError) {
    let status = withUnsafeBytes(of: value) {
      gpu.libraries.products.cublasLtMatmulDescSetAttribute(
        description, Int32(attribute), $0.baseAddress, $0.count)
    }
    try check(status, "an attribute of a product")
  }

  private func check(_ status: cublasStatus_t, _ what: String) throws(ComputeError) {
    if status != 0 { throw .device("cuBLASLt refuses \(what) (\(status))") }
  }
}

extension Address {
  /// As cuBLASLt takes it: an address that only the GPU reads.
  fileprivate var pointer: UnsafeMutableRawPointer? { UnsafeMutableRawPointer(bitPattern: UInt(value)) }
}

extension Precision {
  fileprivate var cudaType: Int32 {
    switch self {
    case .fp32: Int32(CUDA_R_32F)
    case .bf16: Int32(CUDA_R_16BF)
    case .fp16: Int32(CUDA_R_16F)
    }
  }
}
