import ArgumentParser
import Corpus
import Evaluation

/// How well a model predicts a text that it hasn't seen, or does a task; or how good predictions made elsewhere are.
struct Eval: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Measure a model on held-out text or on a task, or measure predictions.",
    discussion: """
      mayfly eval MODEL --data DATA                        loss, perplexity, bits per byte, accuracy
      mayfly eval MODEL --task FILE.jsonl                  the answers to prompts, questions, choices, …
      mayfly eval --predictions FILE.jsonl --metric bleu   text made elsewhere; no model
      """)

  @Argument(help: "A run, a checkpoint or a Hugging Face folder; none for --predictions.")
  var model: String?

  @Option(help: "Prepared data.")
  var data: String?

  @Option(help: "The split: val, test or train.")
  var split = Split.val

  @OptionGroup(title: "Tasks") var task: TaskArguments

  @Option(help: "Predictions: a .jsonl or .csv file with prediction and reference.")
  var predictions: String?

  @OptionGroup(title: "Metrics of tasks and predictions") var metrics: MetricArguments

  @Flag(help: "Print one JSON document.")
  var json = false

  @OptionGroup var device: DeviceOptions

  func validate() throws {
    guard [data, task.task, predictions].compactMap(\.self).count == 1 else {
      throw ValidationError("give one of --data, --task and --predictions")
    }
    if predictions != nil {
      guard model == nil else { throw ValidationError("--predictions: takes no model; leave \(model ?? "") out") }
      guard !metrics.metrics.isEmpty else { throw ValidationError("--metric: expected \(Metric.names)") }
    } else if model == nil {
      throw ValidationError("give a model")
    }
    if task.task == nil, metrics.report != nil || task.save != nil {
      throw ValidationError("--report and --save: are for --task")
    }
    if data != nil, !metrics.metrics.isEmpty {
      throw ValidationError("--metric: is for --task and --predictions; --data always measures the same")
    }
  }

  func run() throws {
    if let predictions {
      try PredictionsEvaluation(path: predictions, metrics: metrics).run(json: json)
    } else if let model, let path = task.task {
      try TaskEvaluation(model: model, path: path, arguments: task, metrics: metrics).run(device, json: json)
    } else if let model, let data {
      try TextEvaluation(model: model, data: data, split: split).run(device, json: json)
    }
  }
}

extension Split: ExpressibleByArgument {}
