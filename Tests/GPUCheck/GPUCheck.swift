import CUDAChecks
import Compute
import ComputeCPU
import ComputeCUDA
import Formats
import TestSupport

/// `gpu-check operations [SEED] | training | products ROWS WIDTH VOCABULARY`: what Benchmarks/gpu_check.py asks of the real
/// card. Prints a JSON line for each finding, and exits with 1 where one is wrong.
@main
enum GPUCheck {
  static func main() throws {
    let arguments = CommandLine.arguments.dropFirst()
    let libraries = try CUDALibraries()
    let profile = StepProfile()
    let executor = try CUDAExecutor(libraries, CUDADevice.first(libraries), profile: profile)
    var isRight = true
    func report(_ check: String, _ finding: Finding, _ precision: Precision) throws {
      isRight = isRight && finding.passes
      try write([
        "check": .string(check), "name": .string(finding.name), "precision": .string("\(precision)"),
        // JSON has no infinity.
        "error": finding.error.isFinite ? .number(finding.error) : .null, "tolerance": .number(finding.tolerance),
        "passes": .bool(finding.passes),
      ])
    }
    switch arguments.first {
    case "operations":
      // A seed draws other shapes.
      let shapes = arguments.dropFirst().first.flatMap(UInt64.init).map(OpShapes.random) ?? .awkward
      for precision in Precision.allCases where precision != .bf16 || executor.fastestPrecision == .bf16 {
        try OperationCheck.run(precision, on: executor, at: shapes) { try report("operation", $0, precision) }
      }
    case "training":
      for precision in TrainingCheck.precisions where precision != .bf16 || executor.fastestPrecision == .bf16 {
        for architecture in TrainingCheck.architectures {
          try report(
            "training", TrainingCheck.run(architecture, precision, on: executor, beside: CPUExecutor()), precision)
        }
        try report(
          "training",
          TrainingCheck.run(TrainingCheck.withMuon, precision, usesMuon: true, on: executor, beside: CPUExecutor()),
          precision)
      }
    case "products":
      let sizes = try arguments.dropFirst().map { text in
        guard let size = Int(text), (1...1 << 24).contains(size) else { throw Usage(found: text) }
        return size
      }
      guard sizes.count == 3 else { throw Usage(found: arguments.dropFirst().joined(separator: " ")) }
      for line in try ProductRates(rows: sizes[0], width: sizes[1], vocabulary: sizes[2]).measure(executor, profile) {
        try write(line)
      }
    default: throw Usage(found: arguments.first ?? "nothing")
    }
    if !isRight { throw WrongResults() }
  }

  private static func write(_ line: JSON) throws {
    print(line.serialized(pretty: false))
  }
}

struct WrongResults: Error, CustomStringConvertible {
  var description: String { "results are wrong" }
}

struct Usage: Error, CustomStringConvertible {
  let found: String

  var description: String {
    "gpu-check operations [SEED] | training | products ROWS WIDTH VOCABULARY; found \(found)"
  }
}
