import ArgumentParser
import Compute
import Formats
import Foundation
import Models
import Training

/// How fast a model trains here, and where the time goes.
struct Bench: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Measure how fast a model trains on this machine, and where the time goes.",
    discussion: "Trains on random tokens, so it needs no data and leaves nothing behind.")

  @Option(help: "A named model size; see the README.")
  var preset = Preset.all[0].name

  @Option(
    name: .customLong("set"), parsing: .unconditionalSingleValue, help: "A setting, as key=value; may be given again.")
  var settings: [String] = []

  @Option(help: "auto, fp32, bf16 or fp16.")
  var precision: String?

  @Option(help: "Updates to measure the speed with; as many again show where the time goes.")
  var steps = 10

  @Flag(help: "Print one JSON document.")
  var json = false

  @OptionGroup var device: DeviceOptions

  /// Where neither `--set` nor a tokenizer says.
  private static let vocabularySize = 8192
  /// Updates before the clock starts: they touch fresh memory.
  private static let warmup = 2

  func validate() throws {
    if !(1...1_000_000).contains(steps) { throw ValidationError("--steps \(steps): expected 1 to 1000000") }
  }

  func run() throws {
    var settings = try resolved()
    let profile = StepProfile()
    let executor = try device.makeExecutor(profile: profile)
    settings.choosePrecision(for: executor)
    let test = try SpeedTest(settings, executor: executor)
    _ = try test.run(updates: Self.warmup)
    let times = try test.run(updates: steps).sorted()
    profile.isOn = true
    let profiled = try test.run(updates: steps).reduce(0, +) / Double(steps)
    let result = Measurement(
      architecture: settings.model.architecture.rawValue, device: executor.deviceDescription,
      parameters: test.parameters, batchSize: settings.train.batchSize, context: settings.train.context, steps: steps,
      seconds: (times[(steps - 1) / 2] + times[steps / 2]) / 2, flops: test.flops, profiledSeconds: profiled,
      operations: profile.entries.sorted { ($0.value.seconds, $1.key) > ($1.value.seconds, $0.key) })
    try json ? Output.json(result.json) : Output.write(result.text)
  }

  private func resolved() throws -> Settings {
    guard let preset = Preset.named(preset) else {
      throw SettingsError.unknownPreset(preset, known: Preset.all.map(\.name).joined(separator: ", "))
    }
    var overrides = SettingOverrides()
    for assignment in settings { try overrides.add(assignment: assignment) }
    if let precision { try overrides.add("train.precision", precision) }
    if overrides["model.vocab_size"] == nil { try overrides.add("model.vocab_size", "\(Self.vocabularySize)") }
    return try Settings.resolve(preset: preset, overrides: overrides, initial: nil, tokens: nil)
  }
}

/// What was measured; all times are of one update.
private struct Measurement {
  let architecture: String
  let device: String
  let parameters: Int
  let batchSize: Int
  let context: Int
  let steps: Int
  /// The median.
  let seconds: Double
  let flops: Double
  /// The mean while the profile was on, which its parts add up to.
  let profiledSeconds: Double
  /// What took longest first; sums over all profiled updates.
  let operations: [(key: String, value: StepProfile.Entry)]

  private var tokensPerSecond: Double { Double(batchSize * context) / seconds }

  /// Reading tokens, adding up losses: what belongs to no operation.
  private var otherSeconds: Double {
    profiledSeconds - operations.reduce(0) { $0 + $1.value.seconds } / Double(steps)
  }

  var json: JSON {
    [
      "architecture": .string(architecture), "device": .string(device), "parameters": .integer(Int64(parameters)),
      "batch_size": .integer(Int64(batchSize)), "context": .integer(Int64(context)), "steps": .integer(Int64(steps)),
      "tokens_per_second": .number(tokensPerSecond), "seconds": .number(seconds), "flops": .number(flops),
      "profiled_seconds": .number(profiledSeconds), "other_seconds": .number(otherSeconds),
      "operations": .array(
        operations.map { kind, entry in
          [
            "kind": .string(kind), "calls": .integer(Int64(entry.calls / steps)),
            "seconds": .number(entry.seconds / Double(steps)), "flops": .number(entry.flops / Double(steps)),
          ]
        }),
    ]
  }

  var text: String {
    var lines = [
      "\(architecture), \(compact(Double(parameters))) parameters, \(batchSize) × \(context) tokens an update; \(device)",
      "\(fixed(tokensPerSecond, 0)) tokens a second, \(fixed(1000 * seconds, 2)) ms an update, "
        + "\(fixed(flops / seconds / 1e9, 1)) GFLOP/s (median of \(steps))", "",
      "operation                calls         ms   share  GFLOP/s",
    ]
    for (kind, entry) in operations {
      let speed = entry.flops > 0 ? fixed(entry.flops / entry.seconds / 1e9, 1) : ""
      lines.append(row(kind, "\(entry.calls / steps)", entry.seconds / Double(steps), speed))
    }
    lines.append(row("other", "", otherSeconds, ""))
    return lines.joined(separator: "\n") + "\n"
  }

  private func row(_ kind: String, _ calls: String, _ seconds: Double, _ speed: String) -> String {
    func right(_ text: String, _ width: Int) -> String {
      String(repeating: " ", count: max(0, width - text.count)) + text
    }
    let share = fixed(100 * seconds / profiledSeconds, 1) + " %"
    return kind.padding(toLength: 24, withPad: " ", startingAt: 0) + right(calls, 6)
      + right(fixed(1000 * seconds, 3), 11) + right(share, 8) + right(speed, 9)
  }
}
