import Corpus
import Evaluation
import Formats
import Models
import Tokenization

/// `eval --task`: how well a model does a task.
struct TaskEvaluation {
  let model: String
  let path: String
  let arguments: TaskArguments
  let metrics: MetricArguments

  func run(_ device: DeviceOptions, json: Bool) throws {
    let kind = try TaskKind.detect(path: path)
    guard !kind.metrics.isEmpty else {
      throw CommandError("\(path): has examples with \(kind.fields), which no model can be measured by yet")
    }
    for metric in metrics.metrics where !kind.metrics.contains(metric) {
      throw CommandError(
        "--metric \(metric.rawValue): isn't for examples with \(kind.fields); expected "
          + kind.metrics.map(\.rawValue).joined(separator: ", "), exitCode: ContractExit.usage)
    }
    // Labels must be there; a question may have no answer.
    let file = try TaskFile.read(path: path, kind: kind, keepsUnanswered: kind != .classify)
    if file.withoutAnswer > 0 { Log.line("\(path): skipped \(file.withoutAnswer) examples without a label") }
    let model = try LoadedModel(model, device)
    let answers = try predict(file, with: model)
    let cut = answers.count { $0.isCut }
    if cut > 0 { Log.line("\(cut) prompts were longer than the context leaves room for, and were cut") }
    if let save = arguments.save { try write(answers, to: save) }
    let chosen = metrics.metrics.isEmpty ? kind.defaultMetrics : metrics.metrics
    let scores = MetricScores(chosen, of: answers.map(\.prediction), metrics.options)
    let baseline = Baseline(kind, answers.map(\.prediction), chosen, metrics.options)
    if let report = metrics.report {
      let page = TaskReport(
        title: Path.name(path), kind: kind, scores: scores, baseline: baseline, answers: answers)
      try FileSystem.write(page.html, to: report)
    }
    guard json else {
      try ScoreOutput(scores: scores).print()
      if let baseline { try Output.line(baseline.text) }
      return
    }
    var members = ScoreOutput(scores: scores).json
    members["task"] = .string(kind.rawValue)
    members["cut"] = JSON(cut)
    members["skipped"] = JSON(file.withoutAnswer + file.blankLines)
    if let baseline { members["baseline"] = baseline.json }
    try Output.json(.object(members))
  }

  private func predict(_ file: TaskFile, with model: LoadedModel) throws -> [TaskAnswer] {
    let examples = file.examples
    let labels = Set(
      examples.compactMap { if case .classification(_, let label) = $0 { label } else { nil } }
    ).sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
    let asked = Array(examples.prefix(arguments.limit ?? .max))
    return try predictLabels(asked, labels, model) ?? predictTexts(asked, labels, model)
  }

  /// A model with a head for labels answers by that; nil: this one has none.
  private func predictLabels(
    _ examples: [TaskExample], _ labels: [String], _ model: LoadedModel
  ) throws -> [TaskAnswer]? {
    guard model.config.isClassifier else { return nil }
    guard !labels.isEmpty else {
      throw CommandError(
        "\(self.model): a classifier chooses labels; expected examples with \(TaskKind.classify.fields)")
    }
    return try LabelPredictor(
      Classifier(model.transformer, weights: model.weights, executor: model.executor),
      tokenizer: model.requireTokenizer(for: "eval --task"), context: model.config.maxPositions
    ).answer(examples)
  }

  private func predictTexts(
    _ examples: [TaskExample], _ labels: [String], _ model: LoadedModel
  ) throws -> [TaskAnswer] {
    try model.requireDecoder()
    let tokenizer = try model.requireTokenizer(for: "eval --task")
    let predictor = try TaskPredictor(
      model.transformer, weights: model.weights, executor: model.executor, tokenizer: tokenizer,
      endOfText: model.endOfText,
      options: arguments.options(context: model.config.maxPositions))
    _ = try model.checked([Int32(clamping: tokenizer.vocabularySize - 1)])
    defer { if Log.isTerminal { Log.write("\r\u{1B}[K") } }
    return try examples.enumerated().map { index, example in
      if Log.isTerminal { Log.write("\r\u{1B}[K\(index + 1) of \(examples.count)") }
      return try predictor.answer(example, labels: labels)
    }
  }

  /// Predictions as `--predictions` reads them, with what the model was asked.
  private func write(_ answers: [TaskAnswer], to path: String) throws {
    let lines = answers.map { answer -> String in
      var members = JSONObject()
      members["prompt"] = .string(answer.prompt)
      members["prediction"] = .string(answer.text)
      let references = answer.references
      members["reference"] = references.count == 1 ? .string(references[0]) : JSON(references.map { .string($0) })
      if let choice = answer.choice {
        members["choice"] = JSON(choice.index)
        members["scores"] = JSON(choice.scores.map { .number($0) })
      }
      return JSON.object(members).serialized() + "\n"
    }
    try FileSystem.write(lines.joined(), to: path)
  }
}
