import Compute
import Formats
import Foundation
import Models

/// How long a piece of work takes, and its operations: what `bench` prints.
struct SpeedReport {
  /// What was repeated.
  enum Work {
    case update(batchSize: Int, context: Int)
    case token(promptTokens: Int, promptSeconds: Double)

    var tokens: Int {
      switch self {
      case .update(let batchSize, let context): batchSize * context
      case .token: 1
      }
    }
  }

  private let model: ModelConfig
  private let device: String
  private let parameters: Int
  private let work: Work
  private let steps: Int
  /// The median, without a profile.
  private let seconds: Double
  /// The mean with one, which its parts add up to.
  private let profiledSeconds: Double
  private let use: DeviceUse?
  /// Of one step, what took longest first.
  private let operations: [(kind: String, calls: Int, seconds: Double, flops: Double)]

  /// - Parameters:
  ///   - times: seconds of each step.
  ///   - profiledTimes: of as many steps, those in the profile.
  ///   - use: of a device, during the steps without a profile.
  init(
    model: ModelConfig, device: String, parameters: Int, work: Work, times: [Double], profiledTimes: [Double],
    profile: StepProfile, use: DeviceUse?
  ) {
    (self.model, self.device, self.parameters, self.work) = (model, device, parameters, work)
    self.use = use
    let sorted = times.sorted()
    let steps = times.count
    self.steps = steps
    seconds = (sorted[(steps - 1) / 2] + sorted[steps / 2]) / 2
    profiledSeconds = profiledTimes.reduce(0, +) / Double(steps)
    operations = profile.entries.map { kind, entry in
      (kind, entry.calls / steps, entry.seconds / Double(steps), entry.flops / Double(steps))
    }.sorted { ($0.seconds, $1.kind) > ($1.seconds, $0.kind) }
  }

  private var flops: Double { operations.reduce(0) { $0 + $1.flops } }
  private var tokensPerSecond: Double { Double(work.tokens) / seconds }
  /// Reading tokens, adding up losses, choosing a token: what belongs to no operation.
  private var otherSeconds: Double { profiledSeconds - operations.reduce(0) { $0 + $1.seconds } }

  var json: JSON {
    var fields = JSONObject()
    fields["architecture"] = .string(model.architecture.rawValue)
    fields["device"] = .string(device)
    fields["parameters"] = .integer(Int64(parameters))
    switch work {
    case .update(let batchSize, let context):
      fields["batch_size"] = .integer(Int64(batchSize))
      fields["context"] = .integer(Int64(context))
    case .token(let promptTokens, let promptSeconds):
      fields["prompt_tokens"] = .integer(Int64(promptTokens))
      fields["prompt_tokens_per_second"] = .number(Double(promptTokens) / promptSeconds)
    }
    fields["steps"] = .integer(Int64(steps))
    fields["tokens_per_second"] = .number(tokensPerSecond)
    fields["seconds"] = .number(seconds)
    fields["flops"] = .number(flops)
    fields["profiled_seconds"] = .number(profiledSeconds)
    fields["other_seconds"] = .number(otherSeconds)
    if let use {
      fields["device_memory"] = [
        "planned_bytes": .integer(Int64(use.plannedBytes)), "reported_bytes": .integer(Int64(use.reportedBytes)),
      ]
      fields["idle_share"] = .number(use.idleShare)
    }
    fields["operations"] = .array(
      operations.map { operation in
        [
          "kind": .string(operation.kind), "calls": .integer(Int64(operation.calls)),
          "seconds": .number(operation.seconds), "flops": .number(operation.flops),
        ]
      })
    return .object(fields)
  }

  var text: String {
    let name = "\(model.architecture.rawValue), \(compact(Double(parameters))) parameters"
    var lines: [String]
    switch work {
    case .update(let batchSize, let context):
      lines = [
        "\(name), \(batchSize) × \(context) tokens an update; \(device)",
        "\(fixed(tokensPerSecond, 0)) tokens a second, \(fixed(1000 * seconds, 2)) ms an update, "
          + "\(fixed(flops / seconds / 1e9, 1)) GFLOP/s (median of \(steps))",
      ]
    case .token(let promptTokens, let promptSeconds):
      lines = [
        "\(name); \(device)",
        "reading \(promptTokens) tokens: \(fixed(Double(promptTokens) / promptSeconds, 1)) a second",
        "then \(fixed(tokensPerSecond, 1)) tokens a second, \(fixed(1000 * seconds, 3)) ms each (median of \(steps))",
      ]
    }
    if let use {
      lines.append(
        "\(use.plannedBytes >> 20) MiB planned, \(use.reportedBytes >> 20) MiB taken; idle "
          + "\(fixed(100 * use.idleShare, 1)) % of the time")
    }
    lines += ["", "operation                calls         ms   share  GFLOP/s"]
    for operation in operations {
      let speed = operation.flops > 0 ? fixed(operation.flops / operation.seconds / 1e9, 1) : ""
      lines.append(row(operation.kind, "\(operation.calls)", operation.seconds, speed))
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
