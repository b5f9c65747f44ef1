import ArgumentParser
import Compute
import ComputeCPU
import ComputeCUDA
import Formats
import Foundation

/// What the machine has, in words.
struct Doctor: ParsableCommand {
  static let configuration = CommandConfiguration(abstract: "Say what this machine has and what Mayfly makes of it.")

  @Flag(help: "Print one JSON document.")
  var json = false

  func run() throws {
    let sets = CPUExecutor.availableInstructionSets
    let cores = Processors.usable
    let memory = Int64(clamping: ProcessInfo.processInfo.physicalMemory)
    let executor = try CPUExecutor()
    let gpu = GPUReport()
    let used = gpu.used ?? executor.deviceDescription
    if json {
      try Output.json([
        "devices": .array(
          [
            [
              "kind": "cpu", "name": .string(Self.processorName), "cores": .integer(Int64(cores)),
              "instruction_sets": .array(sets.map { .string($0) }), "memory_bytes": .integer(memory),
              "uses": .string(executor.deviceDescription),
            ]
          ] + gpu.devices),
        "uses": .string(used), "libraries": .array(gpu.libraries),
        "gpu_problem": gpu.problem.map { .string("\($0)") } ?? .null,
      ])
      return
    }
    try Output.line("processor         \(Self.processorName)")
    try Output.line("cores             \(cores)")
    try Output.line("memory            \(memory >> 30) GiB")
    try Output.line("instruction sets  \(sets.joined(separator: ", ")) (MAYFLY_CPU_ISA forces one)")
    for line in gpu.lines { try Output.line(line) }
    try Output.line("Mayfly uses       \(used)")
  }

  private static var processorName: String {
    let text = (try? FileSystem.read("/proc/cpuinfo")).map { String(decoding: $0, as: UTF8.self) } ?? ""
    let line = text.split(separator: "\n").first { $0.hasPrefix("model name") }
    return line.flatMap { $0.split(separator: ":").last }.map { $0.trimmingCharacters(in: .whitespaces) } ?? "unknown"
  }
}
