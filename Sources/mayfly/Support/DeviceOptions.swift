import ArgumentParser
import Compute
import ComputeCPU
import ComputeCUDA

/// Where to compute: the only place, beside tests, that names a concrete executor.
struct DeviceOptions: ParsableArguments {
  enum Device: String, ExpressibleByArgument, CaseIterable { case auto, cpu, cuda }

  @Option(help: "Where to compute: auto (a GPU where there is one), cpu or cuda.")
  var device = Device.auto

  @Option(help: "CPU threads (default: one per core).")
  var threads: Int?

  func validate() throws {
    if let threads, !(1...1024).contains(threads) {
      throw ValidationError("--threads \(threads): expected 1 to 1024")
    }
  }

  /// - Parameter profile: gets the time of what runs, while it is on.
  /// - Throws: ``ComputeError``.
  func makeExecutor(profile: StepProfile? = nil) throws(ComputeError) -> any Executor {
    if device == .cpu { return try CPUExecutor(threads: threads, profile: profile) }
    let libraries: CUDALibraries
    let gpu: CUDADevice
    do throws(CUDAError) {
      libraries = try CUDALibraries()
      gpu = try CUDADevice.first(libraries)
    } catch {
      if device == .cuda { throw .unavailable("--device cuda: \(error)") }
      if error.meansUnusedDevice { Log.line("the GPU is not used: \(error)") }
      return try CPUExecutor(threads: threads, profile: profile)
    }
    return try CUDAExecutor(libraries, gpu, profile: profile)
  }
}
