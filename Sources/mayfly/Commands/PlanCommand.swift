import ArgumentParser
import Corpus
import Formats
import Models
import Training

/// Proposes a model for a budget.
struct Plan: ParsableCommand {
  enum Explained: String, ExpressibleByArgument, CaseIterable { case batch }

  static let configuration = CommandConfiguration(
    abstract: "Measure this machine and propose the best model for a time budget.",
    discussion: """
      'mayfly train --budget' makes the same plan by itself. A ~ marks what was reckoned from a smaller model's speed \
      instead of measured.
      """)

  @Option(help: "Prepared data, or token shards; may be given again, to be mixed.")
  var data: [String]

  @Option(help: "How long the training may take: 90s, 10m, 24h.")
  var budget: String

  @Option(help: "Write the settings of the chosen model to this file, for 'mayfly train --config'.")
  var out: String?

  @Option(help: "Show in detail: batch, the sizes of an update and of a pass.")
  var explain: Explained?

  @Option(
    name: .customLong("set"), parsing: .unconditionalSingleValue,
    help: "A setting that is not to be chosen, as key=value; may be given again.")
  var settings: [String] = []

  @Flag(help: "Print one JSON document.")
  var json = false

  @OptionGroup var device: DeviceOptions

  func validate() throws {
    _ = try RunOptions.seconds(ofBudget: budget)
  }

  func run() throws {
    let seconds = try RunOptions.seconds(ofBudget: budget)
    var overrides = SettingOverrides()
    for assignment in settings { try overrides.add(assignment: assignment) }
    try overrides.add("train.budget", "\(seconds)")
    let dataset = try PreparedData.open(all: data)
    let plan = try BudgetPlan.make(
      budget: seconds, dataset, tokens: dataset.vocabularySize, overrides, device.makeExecutor())
    if let out { try FileSystem.write(plan.chosen.settings.yaml, to: out) }
    if json { return try Output.json(plan.json) }
    try Output.line(plan.text)
    try Output.line("\n" + plan.reason)
    if explain == .batch { try Output.line("\n" + plan.explainBatch()) }
  }
}
