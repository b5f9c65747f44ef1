import ArgumentParser
import Serving
import Training

/// How a training goes and when it ends: what `train` and `finetune` share.
struct RunOptions: ParsableArguments {
  @Option(help: "How long it may take: 90s, 10m, 24h.")
  var budget: String?

  @Option(help: "Updates in all, resumed ones included.")
  var steps: Int?

  @Option(
    name: .customLong("set"), parsing: .unconditionalSingleValue, help: "A setting, as key=value; may be given again.")
  var settings: [String] = []

  @Flag(help: "Go on with a run that was stopped.")
  var resume = false

  @Flag(help: "With --resume: go on although data, tasks or settings differ from what the run began with.")
  var allowChanges = false

  @Option(help: "Seed of everything random.")
  var seed: UInt64?

  @Option(
    name: .customLong("dashboard"), defaultAsFlag: DashboardAddress.usual.description, parsing: .next,
    help: "Show the training as a live page on this machine: at PORT, HOST or HOST:PORT.")
  private var dashboardText: String?

  /// Where a page is to show the training; nil: nowhere.
  var dashboard: DashboardAddress? { dashboardText.flatMap(DashboardAddress.init) }

  /// - Throws: `ValidationError` where it is no duration.
  static func seconds(ofBudget text: String) throws -> Double {
    guard let seconds = parseDuration(text) else {
      throw ValidationError("--budget \(text): expected a duration as 90s, 10m, 1h30m or 24h")
    }
    return seconds
  }

  func validate() throws {
    _ = try budget.map(Self.seconds(ofBudget:))
    if let dashboardText, dashboard == nil {
      throw ValidationError(
        "--dashboard \(dashboardText): expected a port, or an address of this machine alone as 127.0.0.1:6006")
    }
    if allowChanges, !resume { throw ValidationError("--allow-changes: only with --resume") }
    if let steps, steps < 1 { throw ValidationError("--steps \(steps): expected at least 1") }
  }

  /// Adds what was given; the options with names of their own win.
  func add(to overrides: inout SettingOverrides) throws {
    for assignment in settings { try overrides.add(assignment: assignment) }
    if let seed { try overrides.add("train.seed", "\(seed)") }
    if let steps { try overrides.add("train.steps", "\(steps)") }
    if let seconds = try budget.map(Self.seconds(ofBudget:)) { try overrides.add("train.budget", "\(seconds)") }
  }
}
