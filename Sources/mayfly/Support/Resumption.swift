import Corpus
import Formats
import Models
import Tokenization
import Training

/// What a resumed run must be given again, and what may differ.
struct Resumption {
  /// The settings that the run began with; nil if it never did.
  let recorded: SettingOverrides?
  private let allowsChanges: Bool

  /// What may always differ between a run and its resumption: when it ends, and what changes no number.
  private static let changeable: Set<String> = [
    "train.steps", "train.budget", "train.eval_every", "train.checkpoint_every", "train.keep_checkpoints",
    "train.max_rollbacks", "data.prefetch", "data.cache",
  ]

  /// - Parameter allowsChanges: whether whatever can differ may.
  init(of folder: RunFolder, resumes: Bool, allowsChanges: Bool) throws {
    self.allowsChanges = allowsChanges
    recorded = resumes ? try Self.recorded(folder) : nil
  }

  /// The settings that a run began with; nil if it never did.
  static func recorded(_ folder: RunFolder) throws -> SettingOverrides? {
    guard FileSystem.exists(folder.settingsPath) else { return nil }
    var overrides = SettingOverrides()
    try overrides.add(
      yaml: String(decoding: try FileSystem.read(folder.settingsPath), as: UTF8.self), file: folder.settingsPath)
    return overrides
  }

  /// What was asked for on top of what the run began with.
  func merged(_ asked: SettingOverrides) throws -> SettingOverrides {
    var overrides = recorded ?? SettingOverrides()
    for (key, value) in asked.assignments {
      // What was chosen when the run began is what `auto` stands for.
      if key == "train.precision", value == "auto", recorded?[key] != nil { continue }
      // As is what fitted into memory then.
      if key == "train.micro_batch_size", let fitted = recorded?[key].flatMap(Int.init), fitted < Int(value) ?? 0 {
        continue
      }
      // Of what is given twice, as in a file and by --set, the last counts.
      let now = asked[key] ?? value
      if let was = recorded?[key], !Self.changeable.contains(key), try !SettingKey.named(key).isSame(was, now) {
        // Weights fit only the model that they are of.
        let isOpen = allowsChanges && !key.hasPrefix("model.")
        guard isOpen else {
          throw TrainingError.changed(what: key, was: was, now: now, canBeAllowed: !key.hasPrefix("model."))
        }
      }
      try overrides.add(key, value)
    }
    // The newer of steps and budget decides where only one was given now.
    if recorded != nil {
      if asked["train.steps"] != nil, asked["train.budget"] == nil {
        try overrides.add("train.budget", "none")
      } else if asked["train.budget"] != nil, asked["train.steps"] == nil {
        try overrides.add("train.steps", "none")
      }
    }
    return overrides
  }

  /// Makes sure that a preset is the one that the run began with, as far as nothing else was asked for.
  func check(_ preset: Preset?, beside asked: SettingOverrides) throws {
    guard let preset, let recorded else { return }
    let sizes = [
      ("model.architecture", preset.architecture.rawValue), ("model.hidden_size", "\(preset.hiddenSize)"),
      ("model.num_hidden_layers", "\(preset.layers)"), ("model.num_attention_heads", "\(preset.heads)"),
    ]
    for (key, value) in sizes where asked[key] == nil {
      guard let was = recorded[key], was != value else { continue }
      throw TrainingError.changed(what: "\(key) (--preset \(preset.name))", was: was, now: value, canBeAllowed: false)
    }
  }

  /// Makes sure that a checkpoint has learned from the same.
  func check(_ inputs: RunInputs, of checkpoint: ModelFolder?) throws {
    guard let checkpoint else { return }
    for difference in inputs.differences(from: try Checkpoint.state(of: checkpoint).inputs) {
      guard allowsChanges else { throw difference }
      Log.line("warning: \(difference)")
    }
  }
}

// MARK: What tells one input from another

extension Dataset {
  /// "1403210 tokens, SHA-256 0123456789abcdef".
  func identity() throws(FormatError) -> String {
    let count = Split.allCases.reduce(0) { $0 + tokenCount(of: $1) }
    return "\(count) tokens, \(try contentHash().short)"
  }
}

extension ModelFolder {
  /// "SHA-256 0123456789abcdef" of the weights.
  func identity() throws(FormatError) -> String {
    let files = try FileSystem.names(in: path).filter {
      Path.fileExtension($0) == "safetensors" && $0.hasPrefix("model")
    }
    return try ContentHash(files: files.map { Path.join(path, $0) }).short
  }
}

extension ContentHash {
  /// Enough of it to tell two contents apart, for people.
  var short: String { "SHA-256 \(hex.prefix(16))" }
}
