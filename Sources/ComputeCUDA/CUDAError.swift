/// Why there is no GPU to compute on, or what went wrong on it.
package enum CUDAError: Error, Equatable, CustomStringConvertible {
  /// `reasons`: what the loader said of each file that is there and doesn't open.
  case missing(library: String, wheel: String?, reasons: [String])
  /// A library lacks a function that we call.
  case incomplete(library: String, function: String)
  case driverTooOld(version: String)
  case noDevice
  case deviceTooOld(name: String, capability: String)
  /// A call failed.
  case failed(call: String, code: Int, text: String)

  /// Whether the machine seems to have a GPU: then whoever computes without it wants to know why.
  package var meansUnusedDevice: Bool {
    switch self {
    case .missing(_, let wheel, let reasons): wheel != nil || !reasons.isEmpty
    case .noDevice: false
    case .incomplete, .driverTooOld, .deviceTooOld, .failed: true
    }
  }

  package var description: String {
    switch self {
    case .missing(let library, let wheel, let reasons):
      (["\(library) was not found"] + reasons).joined(separator: "; ") + "; "
        + (wheel.map { "run `make cuda`, which installs the Python package \($0), or set MAYFLY_CUDA_PATH" }
          ?? "install the NVIDIA driver, or set MAYFLY_CUDA_PATH")
    case .incomplete(let library, let function): "\(library) has no \(function): it is too old; CUDA 12 is needed"
    case .driverTooOld(let version): "the NVIDIA driver knows CUDA up to \(version); 12.0 is needed: update the driver"
    case .noDevice: "the NVIDIA driver finds no GPU"
    case .deviceTooOld(let name, let capability):
      "\(name) has compute capability \(capability); 7.5 (Turing, 2018) is needed"
    case .failed(let call, let code, let text): "\(call) failed: \(text) (\(code))"
    }
  }
}
