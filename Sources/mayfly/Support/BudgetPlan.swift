import Compute
import Corpus
import Formats
import Models
import Training

/// A plan for a budget, and how it is shown.
struct BudgetPlan {
  let budget: Double
  let plan: Planner.Plan
  let difficulty: TextDifficulty
  let noise: GradientNoise?
  /// Of the training split; nil where the data are ids only.
  let bytesPerToken: Double?
  private let planner: Planner

  var chosen: Planner.Candidate { plan.chosen }

  /// - Parameters:
  ///   - tokens: the data's vocabulary; nil: ids without a tokenizer, and `overrides` say how many.
  ///   - overrides: what was asked for and is not to be chosen.
  static func make(
    budget: Double, _ dataset: Dataset, tokens: Int?, _ overrides: SettingOverrides, _ executor: any Executor
  ) throws -> BudgetPlan {
    let vocabularySize = try Settings.resolve(
      preset: .decoder(width: 64), overrides: overrides, initial: nil, tokens: tokens
    ).model.vocabularySize
    // What counting and what training for a moment may take.
    let limit = 0.004 * budget
    let difficulty = try TextDifficulty(dataset, vocabularySize: vocabularySize, seconds: min(10, limit))
    // Of the smallest model, whose updates are the fastest.
    var small = try Settings.resolve(
      preset: .decoder(width: 64, batchSize: 2), overrides: SettingOverrides(), initial: nil, tokens: vocabularySize)
    // It reads little.
    small.data.cache = 0
    // What less than a second's training finds says nothing of a run.
    let noise =
      limit < 1
      ? nil
      : try GradientNoise.measure(
        small, source: try ShardSource(dataset, small), executor: executor, seconds: limit)
    let planner = Planner(
      executor: executor, law: ScalingLaw(difficulty, trainTokens: dataset.tokenCount(of: .train), noise: noise),
      overrides: overrides, tokens: tokens,
      dataBytes: try dataset.shards(of: .train).reduce(0) { $0 + $1.count * $1.width },
      // Rows of whole documents have no room for more tokens.
      cutsAnew: dataset.tokenizer != nil && (overrides["data.packing"] ?? "none") == "none")
    return BudgetPlan(
      budget: budget, plan: try planner.plan(budget: budget), difficulty: difficulty, noise: noise,
      bytesPerToken: dataset.bytesPerToken, planner: planner)
  }

  /// The candidates, the chosen one marked, as a table and as a plot.
  var text: String {
    let rows = plan.candidates.map { candidate in
      BarPlot.Row(
        mark: mark(candidate), name: "\(candidate.settings.model.hiddenSize)", value: candidate.bitsPerToken,
        text: loss(candidate))
    }
    return "\(table(of: plan.candidates))\n\n  \(unit) by width\n\(BarPlot(rows: rows).text)"
  }

  /// The chosen width with each batch, and the chosen batch with passes of each size.
  ///
  /// - Throws: ``ComputeError``.
  func explainBatch() throws -> String {
    let trials = try planner.passTrials(of: chosen, seconds: .infinity)
    var passes = TextTable(heads: ["", "rows of a pass", "tokens/s", "memory"], left: [0])
    passes.rows = try trials.trials.map { trial in
      var settings = chosen.settings
      settings.train.microBatchSize = trial.rows
      return [
        trial.rows == chosen.settings.train.resolvedMicroBatch ? "▸" : "", "\(trial.rows)",
        compact(trial.tokensPerSecond), "\(try planner.memory(settings) >> 20) MiB",
      ]
    }
    let scale = noise.map { "\(compact($0.scale)) tokens" } ?? "not to be told"
    return """
      gradient noise scale after a moment's training: \(scale)

      \(table(of: try plan.batches.map(planner.withMemory)))

      an update of \(chosen.settings.train.batchSize) rows, computed in passes:

      \(passes.text)
      """
  }

  private func table(of candidates: [Planner.Candidate]) -> String {
    var table = TextTable(
      heads: [
        "", "width", "layers", "parameters", "batch", "ms/update", "updates", "tokens", "passes", "memory", unit,
      ],
      left: [0])
    for each in candidates {
      table.rows.append([
        mark(each), "\(each.settings.model.hiddenSize)", "\(each.settings.model.layers)",
        compact(Double(each.parameters)), "\(each.settings.train.batchSize)×\(each.settings.train.context)",
        compact(1000 * each.updateSeconds), compact(Double(each.updates)), compact(each.tokens), fixed(each.passes, 2),
        each.memory.map { "\($0 >> 20) MiB" } ?? "",
        loss(each) + (each.isMeasured ? "" : " ~"),
      ])
    }
    return table.text
  }

  private func mark(_ candidate: Planner.Candidate) -> String { candidate.preset == chosen.preset ? "▸" : "" }

  private var unit: String { "bits per \(bytesPerToken == nil ? "token" : "byte")" }

  private func loss(_ candidate: Planner.Candidate) -> String {
    fixed(candidate.bitsPerToken / (bytesPerToken ?? 1), 3)
  }

  /// What speaks against a candidate that is larger than the chosen one.
  private func whyNot(_ larger: Planner.Candidate) -> String {
    if larger.exceedsText { return "has more than so small a text can use" }
    if larger.bitsPerToken > chosen.bitsPerToken { return "would see too few" }
    return "would be slower to use and hardly better"
  }

  /// Why this one, in a sentence.
  var reason: String {
    let candidates = plan.candidates
    let width = chosen.settings.model.hiddenSize
    let smaller = candidates.last { $0.settings.model.hiddenSize < width }
    let larger = candidates.first { $0.settings.model.hiddenSize > width }
    var parts = [
      "\(compact(Double(chosen.parameters))) parameters, as in \(formatDuration(budget)) they can see "
        + "\(compact(chosen.tokens)) tokens and should reach \(loss(chosen)) \(unit)"
    ]
    if let smaller {
      parts.append(
        "width \(smaller.settings.model.hiddenSize) would learn too little of them "
          + "(\(loss(smaller)))")
    }
    if let larger {
      parts.append("width \(larger.settings.model.hiddenSize) \(whyNot(larger)) (\(loss(larger)))")
    }
    var text = parts.joined(separator: "; ") + "."
    if plan.readsFewTokens {
      text +=
        " From so little text architecture \(chosen.settings.model.architecture.rawValue) learns more: feed-forward layers "
        + "also see the token before (transformers needs trust_remote_code for it; model.architecture=nanochat needs "
        + "nothing)."
    }
    if !plan.protections.isEmpty {
      let means = plan.protections.map { "\($0.key) = \($0.value)" }
      text +=
        " The text is read \(fixed(chosen.passes, 0)) times, and a model could learn it by heart: against that, "
        + "\(means.joined(separator: ", "))"
        + (plan.protections.contains { $0.key == "train.patience" } ? "; the training ends early if it does." : ".")
    }
    return text
  }

  var json: JSON {
    var additions = JSONObject()
    for (key, value) in plan.additions { additions[key] = .string(value) }
    return [
      "additions": .object(additions), "budget_seconds": .number(budget),
      "calibration_seconds": .number(plan.calibrationSeconds),
      "candidates": .array(plan.candidates.map(json)), "chosen": json(chosen), "reason": .string(reason),
      "noise_scale_tokens": noise.map { .number($0.scale) } ?? .null,
      "difficulty": .array(
        difficulty.points.map { ["tokens": JSON($0.tokens), "bits_per_token": .number($0.bitsPerToken)] }),
    ]
  }

  private func json(_ candidate: Planner.Candidate) -> JSON {
    let (model, train) = (candidate.settings.model, candidate.settings.train)
    return [
      "hidden_size": JSON(model.hiddenSize), "num_hidden_layers": JSON(model.layers),
      "parameters": JSON(candidate.parameters), "batch_size": JSON(train.batchSize), "context": JSON(train.context),
      "updates": JSON(candidate.updates), "tokens": .number(candidate.tokens), "passes": .number(candidate.passes),
      "memory_bytes": candidate.memory.map { JSON($0) } ?? .null,
      "seconds_per_update": .number(candidate.updateSeconds),
      "measured": .bool(candidate.isMeasured), "bits_per_token": .number(candidate.bitsPerToken),
      "bits_per_byte": bytesPerToken.map { .number(candidate.bitsPerToken / $0) } ?? .null,
    ]
  }
}
