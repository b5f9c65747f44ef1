internal import CCUDA
import Compute

/// D = α·op(A)·op(B) + β·C, as cuBLASLt has it: matrices are column-major, so that a row-major (rows, width) value is a matrix
/// of `width` rows.
struct MatrixProduct {
  /// D is m × n, op(A) m × k.
  var m, n, k: Int
  var transposesA = false
  var transposesB = false
  var a, b, d: Address
  var leadingA, leadingB, leadingD: Int
  /// Of A, B and a bias.
  var operands: Precision
  var result: Precision
  /// What is added, laid out as D; nil: nothing.
  var c: Address?
  var epilogue = Epilogue.none
  var alpha: Float = 1
  var beta: Float = 1
  /// Nil: one product.
  var batch: Batch?

  /// Products alike, without epilogues. Their matrices lie so many elements apart: multiples of 256 bytes, so that all are
  /// aligned as the first are.
  struct Batch: Hashable {
    let count: Int
    let strideA, strideB, strideD: Int
  }

  /// What is done to each element before it is written. A bias has m elements; what goes into GELU (by tanh) is laid out as D.
  enum Epilogue {
    case none
    case bias(Address)
    /// GELU(element + bias); what goes into it is left in `input`.
    case gelu(bias: Address, input: Address)
    /// element · GELU'(input).
    case geluGradient(input: Address)
  }
}

extension MatrixProduct.Epilogue {
  fileprivate var number: Int32 {
    switch self {
    case .none: Int32(CUBLASLT_EPILOGUE_DEFAULT)
    case .bias: Int32(CUBLASLT_EPILOGUE_BIAS)
    case .gelu: Int32(CUBLASLT_EPILOGUE_GELU_AUX_BIAS)
    case .geluGradient: Int32(CUBLASLT_EPILOGUE_DGELU)
    }
  }

  fileprivate var bias: Address? {
    switch self {
    case .bias(let bias), .gelu(let bias, _): bias
    case .none, .geluGradient: nil
    }
  }

  fileprivate var input: Address? {
    switch self {
    case .gelu(_, let input), .geluGradient(let input): input
    case .none, .bias: nil
    }
  }
}

/// Matrix products by cuBLASLt.
final class MatrixProducts {
  private let gpu: GPU
  private let handle: cublasLtHandle_t
  private let workspace: DeviceMemory
  private let workspaceBytes: Int
  private var plans: [Shape: Plan] = [:]
  let choices: ProductChoices
  /// Of the device and the library, before the products in ``choices``.
  private let place: String

  /// What an algorithm is chosen for.
  fileprivate struct Shape: Hashable {
    let m, n, k: Int
    let transposesA, transposesB: Bool
    let leadingA, leadingB, leadingD: Int
    let operands, result: Precision
    let epilogue: Int32
    let alignmentA, alignmentB, alignmentC, alignmentD: Int
    let batch: MatrixProduct.Batch?
    let isTimed: Bool

    /// In words, to be kept.
    var name: String {
      let transposes = (transposesA ? "T" : "N") + (transposesB ? "T" : "N")
      return "\(m) \(n) \(k) \(transposes) \(operands) to \(result) by epilogue \(epilogue)"
        + ", leading \(leadingA) \(leadingB) \(leadingD)"
        + ", aligned \(alignmentA) \(alignmentB) \(alignmentC) \(alignmentD)"
        + (batch.map { ", \($0.count) times, apart \($0.strideA) \($0.strideB) \($0.strideD)" } ?? "")
    }
  }

  /// A product with its algorithm.
  fileprivate final class Plan {
    fileprivate let shape: Shape
    fileprivate let description: cublasLtMatmulDesc_t
    fileprivate let layoutA, layoutB, layoutD: cublasLtMatrixLayout_t
    /// While there are several, the fastest is still to be found.
    fileprivate var algorithms: [cublasLtMatmulAlgo_t]

    fileprivate init(
      _ shape: Shape, _ description: cublasLtMatmulDesc_t, _ layoutA: cublasLtMatrixLayout_t,
      _ layoutB: cublasLtMatrixLayout_t, _ layoutD: cublasLtMatrixLayout_t, _ algorithms: [cublasLtMatmulAlgo_t]
    ) {
      self.shape = shape
      self.description = description
      (self.layoutA, self.layoutB, self.layoutD) = (layoutA, layoutB, layoutD)
      self.algorithms = algorithms
    }
  }

  /// A product with its plan, to be run any number of times.
  struct Call {
    fileprivate let product: MatrixProduct
    fileprivate let plan: Plan
  }

  init(_ gpu: GPU, choices: ProductChoices) throws(ComputeError) {
    self.gpu = gpu
    self.choices = choices
    try gpu.makeCurrent()
    var handle: cublasLtHandle_t?
    let status = gpu.libraries.products.cublasLtCreate(&handle)
    guard status == 0, let handle else { throw .device("cuBLASLt can't be used (\(status))") }
    self.handle = handle
    let version = [MAJOR_VERSION, MINOR_VERSION, PATCH_LEVEL].map { property in
      var value: Int32 = 0
      _ = gpu.libraries.products.cublasLtGetProperty(Int32(property), &value)
      return "\(value)"
    }
    place = "\(gpu.device.name), cuBLASLt \(version.joined(separator: ".")): "
    // What NVIDIA advises for each generation.
    workspaceBytes = gpu.device.isAtLeast(9, 0) ? 32 << 20 : 4 << 20
    workspace = try DeviceMemory(gpu, bytes: workspaceBytes, purpose: "the workspace of matrix products")
  }

  // Handles, descriptions and layouts live as long as the process: there is one for each shape of a model.

  /// Binds a product to an algorithm.
  ///
  /// - Parameter isTimed: whether its first run finds out which is the fastest; otherwise it is what cuBLASLt advises, the same
  ///   each time.
  /// - Throws: ``ComputeError/device(_:)`` where cuBLASLt knows none.
  func call(_ product: MatrixProduct, isTimed: Bool) throws(ComputeError) -> Call {
    let shape = Shape(
      m: product.m, n: product.n, k: product.k, transposesA: product.transposesA, transposesB: product.transposesB,
      leadingA: product.leadingA, leadingB: product.leadingB, leadingD: product.leadingD, operands: product.operands,
      result: product.result, epilogue: product.epilogue.number, alignmentA: product.a.alignment,
      alignmentB: product.b.alignment, alignmentC: (product.c ?? product.d).alignment, alignmentD: product.d.alignment,
      batch: product.batch, isTimed: isTimed)
    if let plan = plans[shape] { return Call(product: product, plan: plan) }
    let plan = try plan(shape, of: product)
    plans[shape] = plan
    return Call(product: product, plan: plan)
  }

  func run(_ call: Call) throws(ComputeError) {
    if call.plan.algorithms.count > 1 { try choose(call) }
    let status = try multiply(call, by: call.plan.algorithms[0], into: call.product.d)
    try check(status, "a product of \(call.product.m) × \(call.product.n) × \(call.product.k)")
  }

  private func multiply(
    _ call: Call, by algorithm: cublasLtMatmulAlgo_t, into d: Address
  ) throws(ComputeError) -> cublasStatus_t {
    let (product, plan) = (call.product, call.plan)
    if let bias = product.epilogue.bias {
      try set(plan.description, CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias.value)
    }
    if let input = product.epilogue.input {
      try set(plan.description, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, input.value)
    }
    var algorithm = algorithm
    var (alpha, beta) = (product.alpha, product.c == nil ? 0 : product.beta)
    return gpu.libraries.products.cublasLtMatmul(
      handle, plan.description, &alpha, product.a.pointer, plan.layoutA, product.b.pointer, plan.layoutB, &beta,
      (product.c ?? d).pointer, plan.layoutD, d.pointer, plan.layoutD, &algorithm,
      workspace.address.pointer, workspaceBytes, gpu.stream)
  }

  // MARK: Choosing an algorithm

  /// Leaves the product the algorithm that is the fastest on its own operands.
  private func choose(_ call: Call) throws(ComputeError) {
    let (plan, product) = (call.plan, call.product)
    let times = try product.c == product.d ? timesBeside(call) : times(call, into: product.d)
    // Advised first, so chosen unless another is faster by more than noise.
    let best = times.indices.min { times[$0] < times[$1] } ?? 0
    let chosen = plan.algorithms[times[0] <= 1.01 * times[best] ? 0 : best]
    plan.algorithms = [chosen]
    choices.record(chosen.text, for: place + plan.shape.name)
  }

  /// The times of a product that adds to its result, which must be added to once: elsewhere.
  private func timesBeside(_ call: Call) throws(ComputeError) -> [Double] {
    let (product, size) = (call.product, call.product.result.dtype.size)
    do {
      let room = try DeviceMemory(gpu, bytes: product.leadingD * product.n * size, purpose: "timing")
      let times = try times(call, into: room.address)
      return times
    } catch .outOfMemory {
      return [0]
    }
  }

  /// Milliseconds of each algorithm; infinite where it can't.
  private func times(_ call: Call, into d: Address) throws(ComputeError) -> [Double] {
    let (start, end) = (try gpu.makeEvent(isTimed: true), try gpu.makeEvent(isTimed: true))
    defer { for event in [start, end] { gpu.destroy(event) } }
    let repeats = 3
    return try call.plan.algorithms.map { (algorithm) throws(ComputeError) in
      // The first call loads code.
      guard try multiply(call, by: algorithm, into: d) == 0 else { return .infinity }
      var least = Double.infinity
      for _ in 1...2 {
        try gpu.record(start)
        for _ in 1...repeats { _ = try multiply(call, by: algorithm, into: d) }
        try gpu.record(end)
        try gpu.wait(for: end)
        least = min(least, try gpu.milliseconds(from: start, to: end) / Double(repeats))
      }
      return least
    }
  }

  // MARK: Descriptions

  private func plan(_ shape: Shape, of product: MatrixProduct) throws(ComputeError) -> Plan {
    let library = gpu.libraries.products
    let what = "a product of \(shape.m) × \(shape.n) × \(shape.k) in \(shape.operands)"
    var made: cublasLtMatmulDesc_t?
    try check(library.cublasLtMatmulDescCreate(&made, Int32(CUBLAS_COMPUTE_32F), Int32(CUDA_R_32F)), what)
    guard let description = made else { throw .device("cuBLASLt gives no description of \(what)") }
    try set(description, CUBLASLT_MATMUL_DESC_TRANSA, Int32(shape.transposesA ? CUBLAS_OP_T : CUBLAS_OP_N))
    try set(description, CUBLASLT_MATMUL_DESC_TRANSB, Int32(shape.transposesB ? CUBLAS_OP_T : CUBLAS_OP_N))
    try set(description, CUBLASLT_MATMUL_DESC_EPILOGUE, shape.epilogue)
    if product.epilogue.bias != nil {
      try set(description, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, shape.operands.cudaType)
    }
    if let input = product.epilogue.input {
      try set(description, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, Int64(shape.leadingD))
      // Its alignment counts when algorithms are advised.
      try set(description, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, input.value)
    }
    func layout(
      _ precision: Precision, _ rows: Int, _ columns: Int, _ leading: Int, _ isTransposed: Bool, apart stride: Int?
    ) throws(ComputeError) -> cublasLtMatrixLayout_t {
      let (rows, columns) = isTransposed ? (columns, rows) : (rows, columns)
      var made: cublasLtMatrixLayout_t?
      try check(
        library.cublasLtMatrixLayoutCreate(&made, precision.cudaType, UInt64(rows), UInt64(columns), Int64(leading)),
        what)
      guard let made else { throw .device("cuBLASLt gives no layout of \(what)") }
      if let batch = shape.batch, let stride {
        try set(layout: made, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, Int32(clamping: batch.count))
        try set(layout: made, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, Int64(stride))
      }
      return made
    }
    let batch = shape.batch
    let a = try layout(
      shape.operands, shape.m, shape.k, shape.leadingA, shape.transposesA, apart: batch?.strideA)
    let b = try layout(
      shape.operands, shape.k, shape.n, shape.leadingB, shape.transposesB, apart: batch?.strideB)
    let d = try layout(shape.result, shape.m, shape.n, shape.leadingD, false, apart: batch?.strideD)
    var advised = try algorithms(shape, description, a, b, d, what)
    let kept = choices.all[place + shape.name]
    if let chosen = advised.first(where: { shape.isTimed && $0.text == kept }) { advised = [chosen] }
    return Plan(shape, description, a, b, d, advised)
  }

  /// What cuBLASLt advises, the best first; only that, where nothing is timed.
  private func algorithms(
    _ shape: Shape, _ description: cublasLtMatmulDesc_t, _ a: cublasLtMatrixLayout_t, _ b: cublasLtMatrixLayout_t,
    _ d: cublasLtMatrixLayout_t, _ what: String
  ) throws(ComputeError) -> [cublasLtMatmulAlgo_t] {
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
    let asked = shape.isTimed ? 16 : 1
    var results = [cublasLtMatmulHeuristicResult_t](repeating: cublasLtMatmulHeuristicResult_t(), count: asked)
    var found: Int32 = 0
    let status = library.cublasLtMatmulAlgoGetHeuristic(
      handle, description, a, b, d, d, preference, Int32(asked), &results, &found)
    let usable = results.prefix(Int(found)).filter { $0.state == 0 }
    guard status == 0, !usable.isEmpty else { throw .device("cuBLASLt knows no way to compute \(what) (\(status))") }
    return usable.map(\.algo)
  }

  private func set<Value>(
    layout: cublasLtMatrixLayout_t, _ attribute: Int, _ value: Value
  ) throws(ComputeError) {
    let status = withUnsafeBytes(of: value) {
      gpu.libraries.products.cublasLtMatrixLayoutSetAttribute(layout, Int32(attribute), $0.baseAddress, $0.count)
    }
    try check(status, "a layout of a batch")
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

extension cublasLtMatmulAlgo_t {
  fileprivate var text: String {
    withUnsafeBytes(of: data) { $0.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined() }
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
