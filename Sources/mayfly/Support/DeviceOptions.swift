import ArgumentParser
import Compute
import ComputeCPU
import ComputeCUDA

/// Where to compute: the only place, beside tests, that names a concrete executor.
struct DeviceOptions: ParsableArguments {
  enum Device: String, ExpressibleByArgument, CaseIterable { case auto, cpu, cuda }

  @Option(help: "Where to compute: auto, cpu or cuda.")
  var device = Device.auto

  @Option(help: "CPU threads (default: one per core).")
  var threads: Int?

  func validate() throws {
    if let threads, !(1...1024).contains(threads) {
      throw ValidationError("--threads \(threads): expected 1 to 1024")
    }
  }

  /// - Parameter profile: gets the time of what runs, while it is on.
  /// - Throws: ``ComputeError/unavailable(_:)``.
  func makeExecutor(profile: StepProfile? = nil) throws(ComputeError) -> any Executor {
    if device == .cuda {
      let card: CUDADevice
      do { card = try CUDADevice.first(CUDALibraries()) } catch { throw .unavailable("--device cuda: \(error)") }
      throw .unavailable(
        "--device cuda: \(card.name) is there, but this version can't compute on it yet; leave --device out")
    }
    return try CPUExecutor(threads: threads, profile: profile)
  }
}
