import Evaluation
import Formats
import Models
import Tokenization

/// What a classifier says of one text.
struct LabelScore {
  private let ids: [Int32]
  /// Each label with its probability, the likeliest first.
  private let labels: [(name: String, probability: Double)]

  /// - Parameter ids: what is longer than the model's context is cut, as in training.
  init(_ model: LoadedModel, _ ids: [Int32]) throws {
    self.ids = Array(ids.prefix(model.config.maxPositions))
    if self.ids.count < ids.count {
      Log.line("warning: only the first \(self.ids.count) of \(ids.count) tokens fit into the model's context")
    }
    let classifier = Classifier(model.transformer, weights: model.weights, executor: model.executor)
    let probabilities = try classifier.probabilities([self.ids])[0]
    labels = zip(classifier.labels, probabilities).sorted { $0.1 > $1.1 }.map { (name: $0, probability: $1) }
  }

  func print(json: Bool) throws {
    guard json else {
      for label in labels { try Output.line("\(fixed(100 * label.probability, 2)) %\t\(label.name)") }
      return
    }
    var probabilities = JSONObject()
    for label in labels { probabilities[label.name] = .number(label.probability) }
    try Output.json([
      "ids": .array(ids.map { .integer(Int64($0)) }), "label": .string(labels[0].name),
      "probabilities": .object(probabilities),
    ])
  }
}
