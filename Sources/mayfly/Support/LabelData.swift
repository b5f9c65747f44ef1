import Corpus
import Evaluation
import Models
import Tokenization
import Training

/// Texts with labels to learn. The labels are those of the training examples, in alphabetical order, or those of a
/// classifier that learns on.
struct LabelData: FinetuneData {
  let model: ModelConfig
  private let train: [LabelledText]
  private let val: [LabelledText]

  init(_ request: FinetuneRun.Request, model initial: ModelConfig, tokenizer: Tokenizer) throws {
    let parts = try Self.parts(of: request)
    var model = initial
    if model.labels.isEmpty {
      // Also of what is held out of the same file.
      let entries = request.val == nil ? parts.train + parts.val : parts.train
      model.labels = Set(entries.compactMap { $0.labelled?.label }).sorted()
      model.pooling = .mean
    }
    guard model.labels.count > 1 else {
      throw CommandError(
        "\(request.data): every example has the label \"\(model.labels.first ?? "")\": there is nothing to tell apart; "
          + "expected two labels or more")
    }
    self.model = model
    let ids = Dictionary(uniqueKeysWithValues: model.labels.enumerated().map { ($1, $0) })
    let encoder = Encoder(tokenizer)
    func encode(_ entries: [TaskFile.Entry], _ path: String) throws -> [LabelledText] {
      try entries.compactMap { entry in
        guard let (text, label) = entry.labelled else { return nil }
        guard let id = ids[label] else {
          throw CorpusError.unknownLabel(path: path, line: entry.line, label: label, known: model.labels)
        }
        return LabelledText(ids: tokenizer.idsToClassify(text, with: encoder), label: id)
      }
    }
    train = try encode(parts.train, request.data)
    val = try encode(parts.val, parts.valPath)
  }

  var longest: Int { (train + val).map(\.ids.count).max() ?? 1 }

  func rows(_ settings: Settings) -> FinetuneRows {
    let context = settings.train.context
    func rows(_ texts: [LabelledText], _ weights: [Float]) -> LabelledRows {
      let cut = texts.map { LabelledText(ids: Array($0.ids.prefix(context)), label: $0.label) }
      return LabelledRows(cut, context: context, config: settings.model, labelWeights: weights)
    }
    let equal = [Float](repeating: 1, count: model.labels.count)
    let cut = (train + val).count { $0.ids.count > context }
    return FinetuneRows(
      train: rows(train, settings.train.classWeights == .balanced ? balanced : equal), val: rows(val, equal),
      misfits: cut > 0 ? "cut \(cut) texts that are longer than the context of \(context) tokens" : nil)
  }

  /// n / (labels · nₗ): each label counts as much as any other, as scikit-learn's "balanced" has it.
  private var balanced: [Float] {
    var counts = [Int](repeating: 0, count: model.labels.count)
    for text in train { counts[text.label] += 1 }
    return counts.map { $0 > 0 ? Float(train.count) / Float(counts.count * $0) : 0 }
  }
}

extension TaskFile.Entry {
  fileprivate var labelled: (text: String, label: String)? {
    if case .classification(let text, let label) = example { (text, label) } else { nil }
  }
}
