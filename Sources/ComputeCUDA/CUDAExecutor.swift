package import Compute
import Foundation

/// Runs programs on one NVIDIA GPU.
package final class CUDAExecutor: Executor {
  private let gpu: GPU
  private let kernels: Kernels
  private let products: MatrixProducts
  private let fusesActivations: Bool
  private let profile: StepProfile?
  /// Made so far; as many as there are different models, and kept for all their programs.
  private var rotaryTables: [RotaryTable] = []

  /// - Parameters:
  ///   - patience: how long the GPU may be at one piece of work before it counts as lost; nil is what the environment's
  ///     `MAYFLY_CUDA_PATIENCE` says in seconds, and without it two minutes.
  ///   - isRemembering: whether compiled kernels and timed choices are kept on disk for the next time.
  ///   - fusesActivations: whether GELU goes into the products before it; nil is where that was reported to be faster, on
  ///     Hopper and later (llm.c).
  ///   - profile: gets the time of everything that runs here, while it is on; work then waits for each operation.
  /// - Throws: ``ComputeError/device(_:)``, ``ComputeError/outOfMemory(bytes:purpose:)``.
  package init(
    _ libraries: CUDALibraries, _ device: CUDADevice, patience: Duration? = nil, isRemembering: Bool = true,
    fusesActivations: Bool? = nil, profile: StepProfile? = nil
  ) throws(ComputeError) {
    gpu = try GPU(libraries, device, patience: patience ?? Self.patience)
    let folder = isRemembering ? Self.cacheFolder() : nil
    kernels = Kernels(gpu, cache: folder.map { $0 + "/kernels" })
    products = try MatrixProducts(gpu, choices: ProductChoices(path: folder.map { $0 + "/products.json" }))
    self.fusesActivations = fusesActivations ?? device.isAtLeast(9, 0)
    self.profile = profile
  }

  private static var patience: Duration {
    let asked = ProcessInfo.processInfo.environment["MAYFLY_CUDA_PATIENCE"].flatMap(Double.init)
    return .seconds(asked.map { $0 > 0 ? min($0, 1e6) : 120 } ?? 120)
  }

  private static func cacheFolder(
    _ environment: [String: String] = ProcessInfo.processInfo.environment
  ) -> String? {
    if let folder = environment["XDG_CACHE_HOME"], !folder.isEmpty { return folder + "/mayfly" }
    return environment["HOME"].map { $0 + "/.cache/mayfly" }
  }

  package var deviceDescription: String {
    "\(gpu.device.name), compute capability \(gpu.device.capability), CUDA \(gpu.libraries.driverVersion)"
  }

  package var fastestPrecision: Precision {
    // Turing's tensor cores have no bf16.
    gpu.device.isAtLeast(8, 0) ? .bf16 : .fp16
  }

  package var runsAhead: Bool { true }
  package var keepsActivations: Bool { true }

  package func peakFlops(_ precision: Precision) -> Double? {
    precision == .fp32 ? nil : gpu.device.peakFlopsInHalves
  }

  package var plannedBytes: Int? { gpu.plannedBytes }

  package var choices: [String: String] {
    get { products.choices.all }
    set { products.choices.adopt(newValue) }
  }

  package func beginWatching() throws(ComputeError) {
    try gpu.beginWatching()
  }

  package func endWatching() throws(ComputeError) -> DeviceUse? {
    try gpu.endWatching()
  }

  package func makeParameters(
    _ layout: TensorLayout, training: Bool, moments: Precision
  ) throws(ComputeError) -> any ParameterStore {
    try CUDAStore(
      layout, training: training, moments: moments, gpu: gpu, kernels: kernels, products: products, profile: profile)
  }

  package func prepare(
    _ program: Program, parameters: any ParameterStore, states: (any ParameterStore)?
  ) throws(ComputeError) -> any Execution {
    guard let parameters = parameters as? CUDAStore, states == nil || states is CUDAStore else {
      preconditionFailure("parameters of another executor")
    }
    return try CUDAExecution(
      program, parameters: parameters, states: states as? CUDAStore, gpu: gpu, kernels: kernels, products: products,
      fusesActivations: fusesActivations, profile: profile,
      rotaryTable: { (frequencies, positions) throws(ComputeError) in
        try self.rotaryTable(frequencies, positions: positions)
      })
  }

  /// The table of these frequencies for at least so many positions.
  private func rotaryTable(
    _ frequencies: RotaryFrequencies, positions: Int
  ) throws(ComputeError) -> RotaryTable {
    if let known = rotaryTables.first(where: { $0.frequencies == frequencies && $0.positions >= positions }) {
      return known
    }
    let table = try RotaryTable(frequencies, positions: positions, gpu: gpu)
    rotaryTables.append(table)
    return table
  }
}
