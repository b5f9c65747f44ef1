import Compute
import Corpus
import Formats
import Models
import Tokenization
import Training

/// A fine-tuning from request to result.
struct FinetuneRun {
  struct Request {
    let model: String
    let kind: TaskKind
    let data: String
    let out: String
    var val: String?
    var epochs: Int?
    var overrides = SettingOverrides()
    var resumes = false
  }

  /// The share of the data that measures, where no file does.
  private static let valFraction = 0.1
  private static let defaultEpochs = 3

  private let request: Request
  private let folder: RunFolder
  private let settings: Settings
  private let tokenizer: Tokenizer
  private let chatTemplate: ChatTemplate?
  private let initial: ModelFolder
  private let checkpoint: ModelFolder?
  private let executor: any Executor
  private let train: PackedExamples
  private let val: PackedExamples
  private let lock: FolderLock

  /// Resolves everything that can be wrong before any work.
  init(_ request: Request, _ device: DeviceOptions) throws {
    self.request = request
    folder = RunFolder(request.out)
    guard request.resumes || !folder.isRun else { throw TrainingError.runExists(path: folder.path) }
    let recorded = request.resumes ? try TrainingRun.recorded(folder) : nil
    executor = try device.makeExecutor()
    let initial = try ModelFolder(request.model)
    self.initial = initial
    guard let tokenizer = try initial.tokenizer() else {
      throw CommandError("\(request.model): has no tokenizer.json, which fine-tuning needs")
    }
    guard let endOfText = tokenizer.endOfText else { throw CorpusError.noEndOfText(path: request.model) }
    self.tokenizer = tokenizer

    chatTemplate = try initial.chatTemplate() ?? (request.kind == .chat ? .default : nil)

    let encoder = Encoder(tokenizer)
    let template = chatTemplate ?? .default
    func encode(_ entries: [TaskFile.Entry], from path: String) throws -> [AnswerExample] {
      try entries.compactMap { entry in
        if let prompt = TaskPrompt(entry.example) {
          return AnswerExample(prompt, encoder: encoder, endOfText: endOfText)
        }
        guard case .chat(let messages) = entry.example else { return nil }
        do {
          return AnswerExample(
            try template.encode(messages, tokenizer: tokenizer, addGenerationPrompt: false, learnsAnswers: true))
        } catch {
          throw CorpusError.badLine(path: path, line: entry.line, problem: "\(error)")
        }
      }
    }
    let file = try Self.read(request.data, request.kind)
    let parts = request.val == nil ? TaskSplit.split(file, valFraction: Self.valFraction) : (train: file, val: [])
    let examples = try encode(parts.train, from: request.data)
    let valExamples =
      if let val = request.val {
        try encode(try Self.read(val, request.kind), from: val)
      } else {
        try encode(parts.val, from: request.data)
      }

    // Rows as long as the longest example needs, and no shorter than packing is worth.
    let longest = (examples + valExamples).map(\.length).max() ?? 1
    var asked = request
    if recorded == nil {
      asked.overrides = try Self.defaults(context: min(initial.config.maxPositions, max(longest, 128)))
      for (key, value) in request.overrides.assignments { try asked.overrides.add(key, value) }
    }
    func resolve() throws -> Settings {
      try TrainingRun.resolve(
        asked.overrides, recorded: recorded, preset: Preset.all[0], initial: initial.config, tokenizer: tokenizer,
        from: initial)
    }
    var settings = try resolve()
    train = PackedExamples(examples, context: settings.train.context)
    val = PackedExamples(valExamples, context: settings.train.context)
    guard train.rowCount > 0 else {
      throw CommandError(
        "\(request.data): every example is longer than the context of \(settings.train.context) tokens; "
          + "shorten them, or raise train.context as far as the model allows (\(initial.config.maxPositions))")
    }
    let B = settings.train.batchSize
    let perEpoch = (train.rowCount + B - 1) / B
    let hasStop = settings.train.steps != nil || settings.train.budget != nil
    if let epochs = request.epochs ?? (hasStop ? nil : Self.defaultEpochs) {
      let (steps, overflows) = epochs.multipliedReportingOverflow(by: perEpoch)
      try asked.overrides.add("train.steps", "\(overflows ? Int.max : steps)")
    }
    if recorded == nil {
      // Each pass is measured, the best one kept; a few updates warm up.
      for (key, value) in [
        ("train.eval_every", perEpoch), ("train.checkpoint_every", perEpoch), ("train.warmup_steps", perEpoch / 4),
      ] where request.overrides[key] == nil { try asked.overrides.add(key, "\(value)") }
    }
    settings = try resolve()
    self.settings = settings
    try FileSystem.requireWritableFolder(folder.path)
    lock = try FolderLock(folder.path)
    checkpoint = request.resumes ? TrainingRun.newestCheckpoint(folder) : nil
    report()
  }

  func start() throws {
    try TrainingRun.train(
      settings, initial: initial, checkpoint: checkpoint, resumes: request.resumes, folder: folder,
      tokenizer: tokenizer, chatTemplate: chatTemplate, executor: executor
    ) { store, state in
      let validation =
        val.rowCount == 0
        ? nil
        : try ExampleValidation(
          val, Transformer(settings.model), weights: store, executor: executor,
          batch: settings.train.resolvedMicroBatch)
      return Objective(
        source: ExampleSource(train, seed: settings.train.seed, startRow: state.rows), trainTokens: train.tokens,
        validation: validation)
    }
  }

  /// What suits little data and a model that knows its language; settings given by the user win.
  private static func defaults(context: Int) throws(SettingsError) -> SettingOverrides {
    var defaults = SettingOverrides()
    try defaults.add("train.context", "\(context)")
    try defaults.add("train.batch_size", "8")
    try defaults.add("train.learning_rate", "0.0003")
    try defaults.add("train.weight_decay", "0.01")
    try defaults.add("train.patience", "3")
    return defaults
  }

  private static func read(_ path: String, _ kind: TaskKind) throws -> [TaskFile.Entry] {
    let file = try TaskFile.read(path: path, kind: kind)
    var skipped: [String] = []
    if file.blankLines > 0 { skipped.append("\(file.blankLines) blank lines") }
    if file.withoutAnswer > 0 { skipped.append("\(file.withoutAnswer) examples without an answer") }
    if !skipped.isEmpty { Log.line("\(path): skipped \(skipped.joined(separator: " and "))") }
    if file.invalidSequences > 0 {
      Log.line("warning: \(path): \(file.invalidSequences) byte sequences aren't UTF-8; each is read as U+FFFD")
    }
    return file.entries
  }

  private func report() {
    Log.line(
      "\(train.exampleCount) examples to learn (\(train.answerTokens) answer tokens, \(train.rowCount) rows of "
        + "\(settings.train.context)), \(val.exampleCount) to measure by")
    if val.rowCount == 0 { Log.line("warning: nothing to measure by: give --val FILE, or more examples") }
    let tooLong = train.tooLong + val.tooLong
    if tooLong > 0 {
      Log.line("warning: skipped \(tooLong) examples longer than the context of \(settings.train.context) tokens")
    }
  }
}
