import ComputeCUDA
import Formats
import Foundation

/// What `doctor` says of GPUs: what was found, or what is missing and how to get it.
struct GPUReport {
  private let found: [CUDADevice]
  private let opened: CUDALibraries?
  /// Why none can be used.
  let problem: CUDAError?

  init() {
    var opened: CUDALibraries?
    var found: [CUDADevice] = []
    var problem: CUDAError?
    do throws(CUDAError) {
      let libraries = try CUDALibraries()
      opened = libraries
      found = try CUDADevice.all(libraries)
      _ = try CUDADevice.first(libraries)
    } catch {
      problem = error
    }
    (self.opened, self.found, self.problem) = (opened, found, problem)
  }

  /// The GPU that commands compute on, unless told otherwise; nil where there is none.
  var used: String? {
    problem == nil ? found.first.map { "\($0.name), compute capability \($0.capability)" } : nil
  }

  var devices: [JSON] {
    found.map {
      [
        "kind": "cuda", "name": .string($0.name), "compute_capability": .string($0.capability),
        "multiprocessors": .integer(Int64($0.multiprocessors)), "memory_bytes": .integer(Int64($0.memoryBytes)),
      ]
    }
  }

  var libraries: [JSON] { opened?.paths.map { .string($0) } ?? [] }

  /// For people.
  var lines: [String] {
    func line(_ name: String, _ text: String) -> String {
      name.padding(toLength: 18, withPad: " ", startingAt: 0) + text
    }
    let devices = found.map {
      line("GPU", "\($0.name), compute capability \($0.capability), \($0.memoryBytes >> 30) GiB")
    }
    let versions = opened.map { "driver \($0.driverVersion), compiler \($0.compilerVersion)" }
    let use = problem.map { line("GPU", "not usable: \($0)") }
    return devices + [versions.map { line("CUDA", $0) }, use].compactMap(\.self)
  }
}
