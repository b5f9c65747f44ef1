import Compute
import Corpus
import Formats
import Models
import Serving
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
    var dashboard: DashboardAddress?
    var allowsChanges = false
  }

  /// What can be learned.
  static let kinds: [TaskKind] = [.qa, .summarize, .chat, .classify]

  private static let defaultEpochs = 3

  private let request: Request
  private let folder: RunFolder
  private let settings: Settings
  private let tokenizer: Tokenizer
  private let chatTemplate: ChatTemplate?
  private let initial: ModelFolder
  private let checkpoint: ModelFolder?
  private let executor: any Executor
  private let data: any FinetuneData
  private let rows: FinetuneRows
  private let inputs: RunInputs
  private let lock: FolderLock

  /// Resolves everything that can be wrong before any work.
  init(_ request: Request, _ device: DeviceOptions) throws {
    self.request = request
    folder = RunFolder(request.out)
    guard request.resumes || !folder.isRun else { throw TrainingError.runExists(path: folder.path) }
    let resumption = try Resumption(of: folder, resumes: request.resumes, allowsChanges: request.allowsChanges)
    executor = try device.makeExecutor()
    let initial = try ModelFolder(request.model)
    self.initial = initial
    guard let tokenizer = try initial.tokenizer() else {
      throw CommandError("\(request.model): has no tokenizer.json, which fine-tuning needs")
    }
    self.tokenizer = tokenizer

    chatTemplate = try initial.chatTemplate() ?? (request.kind == .chat ? .default : nil)
    let data: any FinetuneData =
      request.kind == .classify
      ? try LabelData(request, model: initial.config, tokenizer: tokenizer)
      : try AnswerData(request, model: initial.config, tokenizer: tokenizer, chatTemplate: chatTemplate ?? .default)
    self.data = data

    // Rows as long as the longest example needs, and no shorter than packing is worth.
    var asked = request
    if resumption.recorded == nil {
      asked.overrides = try Self.defaults(context: min(initial.config.maxPositions, max(data.longest, 128)))
      for (key, value) in request.overrides.assignments { try asked.overrides.add(key, value) }
    }
    func resolve() throws -> Settings {
      try TrainingRun.resolve(
        resumption.merged(asked.overrides), preset: Preset.all[0], initial: data.model, tokenizer: tokenizer,
        from: initial)
    }
    var settings = try resolve()
    rows = try data.rows(settings)
    guard rows.train.rowCount > 0 else {
      throw CommandError(
        "\(request.data): every example is longer than the context of \(settings.train.context) tokens; "
          + "shorten them, or raise train.context as far as the model allows (\(initial.config.maxPositions))")
    }
    let B = settings.train.batchSize
    let perEpoch = (rows.train.rowCount + B - 1) / B
    let hasStop = settings.train.steps != nil || settings.train.budget != nil
    if let epochs = request.epochs ?? (hasStop ? nil : Self.defaultEpochs) {
      let (steps, overflows) = epochs.multipliedReportingOverflow(by: perEpoch)
      try asked.overrides.add("train.steps", "\(overflows ? Int.max : steps)")
    }
    if resumption.recorded == nil {
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
    var inputs = RunInputs()
    inputs["MODEL"] = try initial.identity()
    inputs["--task"] = request.kind.rawValue
    inputs["--data"] = try ContentHash(file: request.data).short
    inputs["--val"] =
      try request.val.map { path throws(FormatError) in try ContentHash(file: path).short } ?? "a tenth of the data"
    try resumption.check(inputs, of: checkpoint)
    self.inputs = inputs
    report()
  }

  func start() throws {
    try TrainingRun.train(
      settings, inputs, initial: initial, checkpoint: checkpoint, resumes: request.resumes, folder: folder,
      tokenizer: tokenizer, chatTemplate: chatTemplate, executor: executor, dashboard: request.dashboard
    ) { settings, store, state in
      let validation =
        rows.val.rowCount == 0
        ? nil
        : try ExampleValidation(
          rows.val, Transformer(settings.model), weights: store, executor: executor,
          batch: settings.train.resolvedMicroBatch)
      return Objective(
        source: ExampleSource(rows.train, seed: settings.train.seed, place: state.place),
        trainTokens: rows.train.tokens,
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

  private func report() {
    Log.line(
      "\(rows.train.targetCount) \(request.kind == .classify ? "texts" : "answer tokens") to learn in "
        + "\(rows.train.rowCount) rows of \(settings.train.context) tokens, \(rows.val.targetCount) to measure by")
    if !data.model.labels.isEmpty { Log.line("labels: \(data.model.labels.joined(separator: ", "))") }
    if rows.val.rowCount == 0 { Log.line("warning: nothing to measure by: give --val FILE, or more examples") }
    if let misfits = rows.misfits { Log.line("warning: \(misfits)") }
  }
}
