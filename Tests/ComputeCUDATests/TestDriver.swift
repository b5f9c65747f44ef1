import ComputeCUDA
import Foundation
import Testing

/// The CUDA driver for tests, which runs kernels on the CPU: docs/cuda-test-driver.md.
enum TestDriver {
  /// Where `make cuda-test-driver` leaves it.
  static let folder = URL(filePath: #filePath).appending(path: "../../../.build/cuda-test-driver").standardized.path

  static func makeExecutor(
    patience: Duration = .seconds(600), fusesActivations: Bool? = nil
  ) throws -> CUDAExecutor {
    try #require(FileManager.default.fileExists(atPath: folder + "/libcuda.so.1"), "run `make cuda-test-driver` first")
    let libraries = try CUDALibraries(environment: ["MAYFLY_CUDA_PATH": folder])
    return try CUDAExecutor(
      libraries, CUDADevice.first(libraries), patience: patience, isRemembering: false,
      fusesActivations: fusesActivations)
  }
}
