import Compute
import Formats
import Models

/// One setting: its name in `run.yaml`, how it is read from text and written back. The table of these is the only place
/// that knows names.
package struct SettingKey: Sendable {
  package let name: String
  package let read: @Sendable (Settings) -> String
  package let write: @Sendable (inout Settings, String) throws(SettingsError) -> Void

  package static let all: [SettingKey] = model + data + train

  package static func named(_ name: String) throws(SettingsError) -> SettingKey {
    if let key = all.first(where: { $0.name == name }) { return key }
    let nearest = all.map(\.name).min { editDistance($0, name) < editDistance($1, name) } ?? ""
    throw .unknownKey(name, nearest: nearest)
  }

  /// Whether two texts set the same: `0` and `0.0`, `[3,1]` and `[3.0, 1.0]`.
  package func isSame(_ a: String, _ b: String) -> Bool {
    func written(_ text: String) -> String? {
      var settings = Settings(
        model: ModelConfig(.nanochat, vocabularySize: 1, hiddenSize: 1, layers: 1, heads: 1, maxPositions: 1))
      do { try write(&settings, text) } catch { return nil }
      return read(settings)
    }
    return a == b || written(a).map { $0 == written(b) } ?? false
  }

  // MARK: The table

  private static let model: [SettingKey] = [
    choice("model.architecture", \.model.architecture),
    integer("model.vocab_size", \.model.vocabularySize, 1...),
    integer("model.hidden_size", \.model.hiddenSize, 1...),
    integer("model.num_hidden_layers", \.model.layers, 1...),
    integer("model.num_attention_heads", \.model.heads, 1...),
    integer("model.num_key_value_heads", \.model.keyValueHeads, 1...),
    integer("model.head_dim", \.model.headSize, 1...),
    integer("model.intermediate_size", \.model.intermediateSize, 1...),
    integer("model.max_position_embeddings", \.model.maxPositions, 1...),
    SettingKey(
      name: "model.hidden_act",
      read: { $0.model.activationName },
      write: { (settings, text) throws(SettingsError) in
        guard let kind = ModelConfig.activationKind(named: text) else {
          throw .impossible(
            key: "model.hidden_act", value: text, expected: ModelConfig.activationNames.joined(separator: ", "))
        }
        settings.model.activation = kind
      }),
    choice("model.position_embedding_type", \.model.positions),
    integer("model.type_vocab_size", \.model.tokenTypes, 0...),
    double("model.rope_theta", \.model.rotaryBase),
    float("model.norm_eps", \.model.normEpsilon),
    boolean("model.tie_word_embeddings", \.model.tiesEmbeddings),
    boolean("model.attention_bias", \.model.attentionBias),
    boolean("model.mlp_bias", \.model.mlpBias),
    SettingKey(
      name: "model.final_logit_softcapping",
      read: { $0.model.softcap.map { "\($0)" } ?? "none" },
      write: { (settings, text) throws(SettingsError) in
        if text == "none" || text == "null" || text == "0" {
          settings.model.softcap = nil
        } else {
          settings.model.softcap = try parseFloat("model.final_logit_softcapping", text, 0...)
        }
      }),
    choice("model.pooling", \.model.pooling),
    float("model.initializer_range", \.model.initializerRange),
    float("model.dropout", \.model.dropout, 0...1),
  ]

  private static let data: [SettingKey] = [
    choice("data.order", \.data.order),
    choice("data.packing", \.data.packing),
    SettingKey(
      name: "data.weights",
      read: { $0.data.weights.map { "\($0)" } ?? "auto" },
      write: { (settings, text) throws(SettingsError) in
        guard text != "auto" else {
          settings.data.weights = nil
          return
        }
        guard let weights: [Double] = parseList(text), weights.allSatisfy({ $0 > 0 && $0 <= 1e9 }) else {
          throw .impossible(
            key: "data.weights", value: text, expected: "auto, or a number above 0 for each --data, as [0.7, 0.3]")
        }
        settings.data.weights = weights
      }),
    boolean("data.document_mask", \.data.documentMask),
    float("data.bpe_dropout", \.data.bpeDropout, 0...1),
    integer("data.prefetch", \.data.prefetch, 1...1024),
    integer("data.cache", \.data.cache, 0...),
  ]

  private static let train: [SettingKey] = [
    integer("train.batch_size", \.train.batchSize, 1...),
    integerOrAuto("train.first_batch_size", \.train.firstBatchSize),
    integerOrAuto("train.first_context", \.train.firstContext),
    integerOrAuto("train.micro_batch_size", \.train.microBatchSize),
    integer("train.context", \.train.context, 1...(1 << 24)),
    choice("train.optimizer", \.train.optimizer),
    float("train.learning_rate", \.train.learningRate, 0...),
    SettingKey(
      name: "train.embedding_learning_rate",
      read: { $0.train.embeddingLearningRate.map { "\($0)" } ?? "auto" },
      write: { (settings, text) throws(SettingsError) in
        settings.train.embeddingLearningRate =
          text == "auto" ? nil : try parseFloat("train.embedding_learning_rate", text, 0...)
      }),
    float("train.matrix_learning_rate", \.train.matrixLearningRate, 0...),
    float("train.momentum", \.train.momentum, 0...0.999),
    integer("train.momentum_warmup", \.train.momentumWarmup, 0...),
    SettingKey(
      name: "train.betas",
      read: { "[\($0.train.beta1), \($0.train.beta2)]" },
      write: { (settings, text) throws(SettingsError) in
        guard let values: [Float] = parseList(text), values.count == 2, values.allSatisfy({ $0 >= 0 && $0 < 1 }) else {
          throw .impossible(key: "train.betas", value: text, expected: "two numbers in 0..<1, as [0.9, 0.95]")
        }
        (settings.train.beta1, settings.train.beta2) = (values[0], values[1])
      }),
    float("train.eps", \.train.epsilon, 0...),
    float("train.weight_decay", \.train.weightDecay, 0...),
    float("train.grad_clip", \.train.gradientClip, 0...),
    integer("train.warmup_steps", \.train.warmupSteps, 0...1 << 40),
    choice("train.schedule", \.train.schedule),
    float("train.decay_share", \.train.decayShare, 0...1),
    float("train.min_lr_ratio", \.train.minLearningRateRatio, 0...1),
    float("train.label_smoothing", \.train.lossTerms.labelSmoothing, 0...1),
    float("train.z_loss", \.train.lossTerms.zLoss, 0...),
    integer("train.eval_every", \.train.evalEvery, 0...),
    integer("train.checkpoint_every", \.train.checkpointEvery, 0...),
    integer("train.keep_checkpoints", \.train.keepCheckpoints, 1...),
    integer("train.patience", \.train.patience, 0...),
    integer("train.max_rollbacks", \.train.maxRollbacks, 0...1000),
    choice("train.class_weights", \.train.classWeights),
    precision("train.precision", \.train.precision, [.fp32, .bf16, .fp16]),
    precision("train.moments", \.train.moments, [.fp32, .bf16]),
    SettingKey(
      name: "train.seed",
      read: { "\($0.train.seed)" },
      write: { (settings, text) throws(SettingsError) in
        guard let seed = UInt64(text) else {
          throw .wrongType(key: "train.seed", value: text, expected: "an integer of at least 0")
        }
        settings.train.seed = seed
      }),
    optionalNumber("train.steps", \.train.steps) { Int($0) },
    optionalNumber("train.budget", \.train.budget) { Double($0).flatMap { $0.isFinite ? $0 : nil } },
  ]
}

// MARK: Kinds of settings

extension SettingKey {
  fileprivate typealias Path<T> = any WritableKeyPath<Settings, T> & Sendable

  fileprivate static func integer(_ name: String, _ path: Path<Int>, _ range: PartialRangeFrom<Int>) -> SettingKey {
    integer(name, path, range.lowerBound...Int.max)
  }

  fileprivate static func integer(_ name: String, _ path: Path<Int>, _ range: ClosedRange<Int>) -> SettingKey {
    SettingKey(
      name: name, read: { "\($0[keyPath: path])" },
      write: { (settings, text) throws(SettingsError) in
        settings[keyPath: path] = try parseInteger(name, text, range)
      })
  }

  fileprivate static func integerOrAuto(_ name: String, _ path: Path<Int?>) -> SettingKey {
    SettingKey(
      name: name, read: { $0[keyPath: path].map { "\($0)" } ?? "auto" },
      write: { (settings, text) throws(SettingsError) in
        settings[keyPath: path] = text == "auto" ? nil : try parseInteger(name, text, 1...)
      })
  }

  fileprivate static func float(
    _ name: String, _ path: Path<Float>, _ range: PartialRangeFrom<Float> = (-Float.greatestFiniteMagnitude)...
  ) -> SettingKey {
    float(name, path, range.lowerBound...Float.greatestFiniteMagnitude)
  }

  fileprivate static func float(_ name: String, _ path: Path<Float>, _ range: ClosedRange<Float>) -> SettingKey {
    SettingKey(
      name: name, read: { "\($0[keyPath: path])" },
      write: { (settings, text) throws(SettingsError) in
        settings[keyPath: path] = try parseFloat(name, text, range)
      })
  }

  fileprivate static func double(_ name: String, _ path: Path<Double>) -> SettingKey {
    SettingKey(
      name: name, read: { "\($0[keyPath: path])" },
      write: { (settings, text) throws(SettingsError) in
        guard let value = Double(text), value.isFinite else {
          throw .wrongType(key: name, value: text, expected: "a number")
        }
        settings[keyPath: path] = value
      })
  }

  fileprivate static func boolean(_ name: String, _ path: Path<Bool>) -> SettingKey {
    SettingKey(
      name: name, read: { "\($0[keyPath: path])" },
      write: { (settings, text) throws(SettingsError) in
        guard let value = Bool(text) else { throw .wrongType(key: name, value: text, expected: "true or false") }
        settings[keyPath: path] = value
      })
  }

  fileprivate static func choice<T: RawRepresentable<String> & CaseIterable & Sendable>(
    _ name: String, _ path: Path<T>
  ) -> SettingKey {
    let values = Array(T.allCases)
    let names = values.map(\.rawValue)
    let available = names.joined(separator: ", ")
    return SettingKey(
      name: name,
      read: { settings in
        let value = settings[keyPath: path]
        return value.rawValue
      },
      write: { (settings, text) throws(SettingsError) in
        guard let index = names.firstIndex(of: text) else {
          throw .impossible(key: name, value: text, expected: available)
        }
        settings[keyPath: path] = values[index]
      })
  }

  /// `auto` leaves the choice to the machine.
  fileprivate static func precision(_ name: String, _ path: Path<Precision?>, _ values: [Precision]) -> SettingKey {
    SettingKey(
      name: name, read: { $0[keyPath: path]?.rawValue ?? "auto" },
      write: { (settings, text) throws(SettingsError) in
        let value = Precision(rawValue: text)
        guard value.map(values.contains) ?? (text == "auto") else {
          let names = ["auto"] + values.map(\.rawValue)
          throw .impossible(key: name, value: text, expected: names.joined(separator: ", "))
        }
        settings[keyPath: path] = value
      })
  }

  fileprivate static func optionalNumber<T: Comparable & ExpressibleByIntegerLiteral & Sendable>(
    _ name: String, _ path: Path<T?>, parse: @escaping @Sendable (String) -> T?
  ) -> SettingKey {
    SettingKey(
      name: name, read: { $0[keyPath: path].map { "\($0)" } ?? "none" },
      write: { (settings, text) throws(SettingsError) in
        if text == "none" || text == "null" {
          settings[keyPath: path] = nil
          return
        }
        guard let value = parse(text), value > 0 else {
          throw .wrongType(key: name, value: text, expected: "a number above 0, or none")
        }
        settings[keyPath: path] = value
      })
  }

  private static func parseInteger(
    _ name: String, _ text: String, _ range: PartialRangeFrom<Int>
  ) throws(SettingsError) -> Int {
    try parseInteger(name, text, range.lowerBound...Int.max)
  }

  private static func parseInteger(
    _ name: String, _ text: String, _ range: ClosedRange<Int>
  ) throws(SettingsError) -> Int {
    guard let value = Int(text) else { throw .wrongType(key: name, value: text, expected: "an integer") }
    guard range.contains(value) else {
      let limit =
        range.upperBound == .max ? "at least \(range.lowerBound)" : "\(range.lowerBound) to \(range.upperBound)"
      throw .impossible(key: name, value: text, expected: limit)
    }
    return value
  }

  /// Numbers as in `[0.9, 0.95]`; nil where that isn't what stands there.
  private static func parseList<Number: LosslessStringConvertible>(_ text: String) -> [Number]? {
    let parts = text.filter { $0 != "[" && $0 != "]" && $0 != " " }.split(separator: ",")
    let values = parts.compactMap { Number(String($0)) }
    return values.count == parts.count && !values.isEmpty ? values : nil
  }

  private static func parseFloat(
    _ name: String, _ text: String, _ range: PartialRangeFrom<Float>
  ) throws(SettingsError) -> Float {
    try parseFloat(name, text, range.lowerBound...Float.greatestFiniteMagnitude)
  }

  private static func parseFloat(
    _ name: String, _ text: String, _ range: ClosedRange<Float>
  ) throws(SettingsError) -> Float {
    guard let value = Float(text), value.isFinite else {
      throw .wrongType(key: name, value: text, expected: "a number")
    }
    guard range.contains(value) else {
      let limit =
        range.upperBound == .greatestFiniteMagnitude
        ? "at least \(range.lowerBound)" : "\(range.lowerBound) to \(range.upperBound)"
      throw .impossible(key: name, value: text, expected: limit)
    }
    return value
  }
}

/// Levenshtein's distance, for "did you mean".
package func editDistance(_ a: String, _ b: String) -> Int {
  let b = Array(b.utf8)
  var row = Array(0...b.count)
  for (i, x) in a.utf8.enumerated() {
    var diagonal = row[0]
    row[0] = i + 1
    for (j, y) in b.enumerated() {
      let substitution = diagonal + (x == y ? 0 : 1)
      diagonal = row[j + 1]
      row[j + 1] = min(substitution, row[j] + 1, diagonal + 1)
    }
  }
  return row[b.count]
}
