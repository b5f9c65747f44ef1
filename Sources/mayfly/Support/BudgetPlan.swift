import Compute
import Corpus
import Formats
import Models
import Training

/// A plan for a budget, and how it is shown.
struct BudgetPlan {
  let budget: Double
  let plan: Planner.Plan

  var chosen: Planner.Candidate { plan.chosen }

  /// - Parameters:
  ///   - tokens: the data's vocabulary.
  ///   - overrides: what was asked for and is not to be chosen.
  static func make(
    budget: Double, _ dataset: Dataset, tokens: Int, _ overrides: SettingOverrides, _ executor: any Executor
  ) throws -> BudgetPlan {
    let planner = Planner(
      executor: executor,
      text: .init(trainTokens: dataset.tokenCount(of: .train), bytesPerToken: dataset.bytesPerToken ?? 4),
      choosesBatch: overrides["train.batch_size"] == nil
    ) { preset in
      try Settings.resolve(preset: preset, overrides: overrides, initial: nil, tokens: tokens)
    }
    return BudgetPlan(budget: budget, plan: try planner.plan(budget: budget))
  }

  /// The candidates, the chosen one marked.
  var table: String { Self.table(plan.candidates, chosen: chosen) }

  static func table(_ candidates: [Planner.Candidate], chosen: Planner.Candidate) -> String {
    var table = TextTable(
      heads: ["", "width", "layers", "parameters", "batch", "updates", "tokens", "passes", "memory", "bits per byte"],
      left: [0])
    for each in candidates {
      let isChosen = each.settings == chosen.settings
      table.rows.append([
        isChosen ? "▸" : "", "\(each.settings.model.hiddenSize)", "\(each.settings.model.layers)",
        compact(Double(each.parameters)), "\(each.settings.train.batchSize)×\(each.settings.train.context)",
        compact(Double(each.updates)), compact(each.tokens), fixed(each.passes, 2), "\(each.memory >> 20) MiB",
        fixed(each.bitsPerByte, 3) + (each.isMeasured ? "" : " ~"),
      ])
    }
    return table.text
  }

  /// Why this one, in a sentence.
  var reason: String {
    let candidates = plan.candidates
    let width = chosen.settings.model.hiddenSize
    let smaller = candidates.last { $0.settings.model.hiddenSize < width }
    let larger = candidates.first { $0.settings.model.hiddenSize > width }
    var parts = [
      "\(compact(Double(chosen.parameters))) parameters, as in \(formatDuration(budget)) they can see "
        + "\(compact(chosen.tokens)) tokens and should reach \(fixed(chosen.bitsPerByte, 3)) bits per byte"
    ]
    if let smaller {
      parts.append(
        "width \(smaller.settings.model.hiddenSize) would learn too little of them "
          + "(\(fixed(smaller.bitsPerByte, 3)))")
    }
    if let larger {
      parts.append("width \(larger.settings.model.hiddenSize) would see too few (\(fixed(larger.bitsPerByte, 3)))")
    }
    return parts.joined(separator: "; ") + "."
  }

  var json: JSON {
    [
      "budget_seconds": .number(budget), "calibration_seconds": .number(plan.calibrationSeconds),
      "candidates": .array(plan.candidates.map(Self.json)), "chosen": Self.json(chosen), "reason": .string(reason),
    ]
  }

  private static func json(_ candidate: Planner.Candidate) -> JSON {
    let (model, train) = (candidate.settings.model, candidate.settings.train)
    return [
      "hidden_size": JSON(model.hiddenSize), "num_hidden_layers": JSON(model.layers),
      "parameters": JSON(candidate.parameters), "batch_size": JSON(train.batchSize), "context": JSON(train.context),
      "updates": JSON(candidate.updates), "tokens": .number(candidate.tokens), "passes": .number(candidate.passes),
      "memory_bytes": JSON(candidate.memory), "seconds_per_update": .number(candidate.updateSeconds),
      "measured": .bool(candidate.isMeasured), "bits_per_byte": .number(candidate.bitsPerByte),
    ]
  }
}
