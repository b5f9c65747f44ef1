import Foundation

/// One of NVIDIA's libraries, and where it may be.
enum CUDALibrary: CaseIterable {
  /// Comes with the GPU's driver.
  case driver
  /// NVRTC, which compiles our kernels for the GPU at hand.
  case compiler
  /// cuBLASLt.
  case products

  private var stem: String {
    switch self {
    case .driver: "libcuda.so"
    case .compiler: "libnvrtc.so"
    case .products: "libcublasLt.so"
    }
  }

  var name: String {
    switch self {
    case .driver: "libcuda (the GPU's driver)"
    case .compiler: "NVRTC"
    case .products: "cuBLASLt"
    }
  }

  /// The Python package that has it; nil where only a driver's installation does.
  var wheel: String? {
    switch self {
    case .driver: nil
    case .compiler: "nvidia-cuda-nvrtc"
    case .products: "nvidia-cublas"
    }
  }

  /// File names, the newest first; kernels compiled by a newer CUDA than the driver's don't load.
  ///
  /// - Parameter cuda: the driver's major version.
  func fileNames(cuda: Int) -> [String] {
    self == .driver ? [stem + ".1"] : [13, 12].filter { $0 <= cuda }.map { "\(stem).\($0)" }
  }
}

/// Folders in which NVIDIA's libraries may lie, in the order in which they are tried.
struct LibrarySearch {
  /// nil stands for wherever the system's loader looks.
  let folders: [String?]

  /// - Parameter environment: `MAYFLY_CUDA_PATH` is the only folder where it is set; `CUDA_HOME` is a toolkit's.
  init(environment: [String: String] = ProcessInfo.processInfo.environment) {
    if let forced = environment["MAYFLY_CUDA_PATH"], !forced.isEmpty {
      folders = [forced]
      return
    }
    let toolkits = [environment["CUDA_HOME"], "/usr/local/cuda"].compactMap(\.self)
    // Where containers and Windows' Linux put the driver.
    let drivers = ["/usr/local/nvidia/lib64", "/usr/lib/wsl/lib"]
    folders =
      [nil] + drivers + toolkits.flatMap { ["\($0)/lib64", "\($0)/targets/x86_64-linux/lib"] }
      + Self.wheels(environment).sorted()
  }

  /// Where `make cuda` puts Python packages.
  static func ownFolder(_ environment: [String: String]) -> String? {
    if let data = environment["XDG_DATA_HOME"], !data.isEmpty { return data + "/mayfly/cuda" }
    return environment["HOME"].map { $0 + "/.local/share/mayfly/cuda" }
  }

  /// Folders with libraries of NVIDIA's Python packages: `nvidia/*/lib` in a folder of packages.
  private static func wheels(_ environment: [String: String]) -> [String] {
    var packages = [ownFolder(environment)].compactMap(\.self)
    let pythons =
      [environment["VIRTUAL_ENV"], environment["HOME"].map { $0 + "/.local" }, "/usr/local", "/usr"]
      .compactMap { $0.map { $0 + "/lib" } }
    for python in pythons {
      for version in list(python) where version.hasPrefix("python3") {
        packages += ["site-packages", "dist-packages"].map { "\(python)/\(version)/\($0)" }
      }
    }
    return packages.flatMap { package in list(package + "/nvidia").map { "\(package)/nvidia/\($0)/lib" } }
  }

  private static func list(_ folder: String) -> [String] {
    (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
  }
}
