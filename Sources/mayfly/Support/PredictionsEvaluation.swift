import Corpus
import Evaluation
import Formats

/// `eval --predictions`: how good texts are that were made elsewhere.
struct PredictionsEvaluation {
  let path: String
  let metrics: MetricArguments

  func run(json: Bool) throws {
    let file = try TaskFile.read(path: path, kind: .predictions)
    let predictions = file.examples.compactMap { example -> Prediction? in
      guard case .prediction(let text, let references) = example else { return nil }
      return Prediction(text, references: references)
    }
    let scores = MetricScores(metrics.metrics, of: predictions, metrics.options)
    if json {
      try Output.json(.object(ScoreOutput(scores: scores).json))
    } else {
      try ScoreOutput(scores: scores).print()
    }
  }
}
