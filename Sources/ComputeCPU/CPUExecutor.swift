internal import CKernels
package import Compute
import Foundation

/// Runs programs on CPU cores.
package final class CPUExecutor: Executor {
  /// Instruction sets by the names that `MAYFLY_CPU_ISA` takes.
  private static let instructionSets: [(name: String, isa: mf_isa)] = [
    ("avx512bf16", MF_ISA_AVX512_BF16), ("avx512", MF_ISA_AVX512), ("avx2", MF_ISA_AVX2),
    ("neon", MF_ISA_NEON), ("plain", MF_ISA_PLAIN),
  ]

  /// The instruction sets that this processor has, fastest first.
  package static var availableInstructionSets: [String] {
    instructionSets.filter { mf_kernels_for($0.isa, MF_FP32) != nil }.map(\.name)
  }

  /// Those with kernels of their own for a precision.
  package static func instructionSets(with precision: Precision) -> [String] {
    var known: Set<UnsafePointer<mf_kernels>> = []
    return instructionSets.filter { set in
      mf_kernels_for(set.isa, precision.storage).map { known.insert($0).inserted } ?? false
    }.map(\.name)
  }

  /// An empty `MAYFLY_CPU_ISA` asks for nothing.
  private static var forcedInstructionSet: String? {
    ProcessInfo.processInfo.environment["MAYFLY_CPU_ISA"].flatMap { $0.isEmpty ? nil : $0 }
  }

  package let threads: Int
  let pool: OpaquePointer
  private let instructionSet: String
  private let kernels: [Precision: mf_kernels]
  let profile: StepProfile?
  /// Made so far; as many as there are different models, and kept for all their programs.
  private var rotaryTables: [RotaryTable] = []

  /// - Parameters:
  ///   - threads: nil is one per core that this process may use.
  ///   - instructionSet: a name from ``availableInstructionSets``; nil is what the environment's `MAYFLY_CPU_ISA` asks for,
  ///     and without it the fastest.
  ///   - profile: gets the time of everything that runs here, while it is on.
  /// - Throws: ``ComputeError/unavailable(_:)`` for an instruction set that this processor lacks,
  ///   ``ComputeError/outOfMemory(bytes:purpose:)``.
  package init(
    threads: Int? = nil, instructionSet: String? = nil, profile: StepProfile? = nil
  ) throws(ComputeError) {
    let available = Self.availableInstructionSets
    let asked = instructionSet ?? Self.forcedInstructionSet
    guard let name = asked ?? available.first, available.contains(name),
      let isa = Self.instructionSets.first(where: { $0.name == name })?.isa
    else {
      throw .unavailable(
        "no instruction set '\(asked ?? "")' here; MAYFLY_CPU_ISA can be \(available.joined(separator: ", "))")
    }
    let threads = max(1, threads ?? Processors.usable)
    guard let pool = mf_pool_create(Int32(clamping: threads)) else {
      throw .unavailable("\(threads) threads can't be started; ask for fewer with --threads")
    }
    self.threads = threads
    self.pool = pool
    self.instructionSet = name
    kernels = Dictionary(
      uniqueKeysWithValues: Precision.allCases.compactMap { precision in
        mf_kernels_for(isa, precision.storage).map { (precision, $0.pointee) }
      })
    self.profile = profile
  }

  deinit {
    mf_pool_destroy(pool)
  }

  package var deviceDescription: String {
    "CPU, \(threads) thread\(threads == 1 ? "" : "s"), \(instructionSet)"
  }

  package var runsAhead: Bool { false }

  package var fastestPrecision: Precision {
    // Where the processor multiplies pairs of bf16, every width and batch that was measured is faster with them
    // (docs/benchmarks.md); elsewhere halves are widened first, which costs more than their smaller size saves.
    kernels(.bf16).isa == MF_ISA_AVX512_BF16 ? .bf16 : .fp32
  }

  /// Kernels for activations of a precision.
  func kernels(_ precision: Precision) -> mf_kernels {
    guard let kernels = kernels[precision] else { preconditionFailure("\(instructionSet) lacks \(precision)") }
    return kernels
  }

  package func makeParameters(
    _ layout: TensorLayout, training: Bool, moments: Precision
  ) throws(ComputeError) -> any ParameterStore {
    try CPUStore(layout, training: training, moments: moments, executor: self)
  }

  package func prepare(
    _ program: Program, parameters: any ParameterStore, states: (any ParameterStore)?
  ) throws(ComputeError) -> any Execution {
    guard let parameters = parameters as? CPUStore, states == nil || states is CPUStore else {
      preconditionFailure("parameters of another executor")
    }
    return try CPUExecution(program, parameters: parameters, states: states as? CPUStore, executor: self)
  }

  /// Runs `body`, noted in the profile if there is one that is on.
  func timed<T>(_ kind: String, _ body: () -> T) -> T {
    guard let profile, profile.isOn else { return body() }
    return profile.time(kind, body)
  }

  /// Makes scratch of `bytes` available to each worker.
  func reserve(_ bytes: Int) throws(ComputeError) {
    guard mf_pool_reserve(pool, bytes) else {
      throw .outOfMemory(bytes: bytes * threads, purpose: "the workers' scratch")
    }
  }

  /// The table of these frequencies for at least so many positions.
  func rotaryTable(
    _ frequencies: RotaryFrequencies, positions: Int
  ) throws(ComputeError) -> RotaryTable {
    if let known = rotaryTables.first(where: { $0.frequencies == frequencies && $0.positions >= positions }) {
      return known
    }
    let table = try RotaryTable(frequencies, positions: positions)
    rotaryTables.append(table)
    return table
  }
}

extension Precision {
  var storage: mf_storage {
    switch self {
    case .fp32: MF_FP32
    case .bf16: MF_BF16
    case .fp16: MF_FP16
    }
  }
}
