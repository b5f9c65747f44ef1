import Compute
import Corpus
import Evaluation
import Formats
import Models
import Serving
import Tokenization
import Training

/// A run from request to result: finds data, settings and weights, makes the folder, trains.
struct TrainingRun {
  /// What was asked for.
  struct Request {
    /// Several are mixed.
    var data: [String]
    var out: String?
    var preset: String?
    var overrides = SettingOverrides()
    var initFrom: String?
    var resumes = false
    /// Where a page is to show the training; nil: nowhere.
    var dashboard: DashboardAddress?
    var allowsChanges = false
    /// Of the folder, where `out` doesn't say: runs/NAME-N.
    var name: String?

    init(data: [String]) {
      self.data = data
    }

    /// For people.
    var dataNames: String { data.joined(separator: ", ") }
    /// The text that is to be prepared first; nil: what was given is prepared.
    var text: String? {
      get throws {
        guard let path = data.first, data.count == 1, case .text = try DataKind.detect(path) else { return nil }
        return path
      }
    }
  }

  let folder: RunFolder
  let settings: Settings
  private let request: Request
  let dataset: Dataset
  private let tokenizer: Tokenizer?
  /// Of a model that fills in masked tokens.
  private let maskToken: Int32?
  private let initial: ModelFolder?
  private let checkpoint: ModelFolder?
  private let executor: any Executor
  private let inputs: RunInputs
  /// What the model's size comes from; nil: it was given.
  private let plan: BudgetPlan?
  /// Two processes in one folder would spoil each other's files.
  private let lock: FolderLock

  /// Resolves everything that can be wrong before any work: the output, the data, the settings, the weights.
  init(_ request: Request, _ device: DeviceOptions) throws {
    self.request = request
    folder = RunFolder(request.out ?? Self.folder(request))
    guard request.resumes || !folder.isRun else { throw TrainingError.runExists(path: folder.path) }
    let preset = try request.preset.map { name throws(SettingsError) in try Preset.known(name) }
    let text = try request.text
    let resumption = try Resumption(of: folder, resumes: request.resumes, allowsChanges: request.allowsChanges)
    let stops = try resumption.merged(request.overrides)
    guard ["train.steps", "train.budget"].contains(where: { stops[$0].map { $0 != "none" && $0 != "null" } ?? false })
    else {
      throw TrainingError.noStopGiven
    }
    executor = try device.makeExecutor()
    initial = try request.initFrom.map { try ModelFolder($0) }
    try resumption.check(preset, beside: request.overrides)
    try Self.checkSettings(request, resumption, initial)
    try FileSystem.requireWritableFolder(folder.path)
    lock = try FolderLock(folder.path)
    checkpoint = request.resumes ? Self.newestCheckpoint(folder) : nil
    let model = checkpoint ?? initial
    let known = try model?.tokenizer()
    if let text {
      dataset = try PreparedData.prepare(
        text, into: folder.dataPath, with: known == nil ? nil : model?.path,
        mostTokens: known == nil ? try Self.mostTokens(request, executor) : nil, threads: device.threads,
        mayBeThere: request.resumes)
    } else {
      dataset = try PreparedData.open(all: request.data)
    }
    var inputs = RunInputs()
    inputs["--data"] = try dataset.identity()
    if let text { inputs["the text of --data"] = try DataKind.textIdentity(of: text) }
    inputs["--init-from"] = try initial?.identity()
    if let known, let given = dataset.tokenizer, !known.agrees(with: given) {
      throw CommandError(
        "\(request.dataNames): was made with another tokenizer than the model's; prepare it with --tokenizer "
          + (model?.path ?? folder.path))
    }
    try resumption.check(inputs, of: checkpoint)
    self.inputs = inputs
    let isMasked = try Self.isMasked(request, resumption, model)
    // Data that was prepared without a mask stays as it is: the token is only the model's.
    tokenizer = isMasked ? try (known ?? dataset.tokenizer)?.withMaskToken() : known ?? dataset.tokenizer
    let overrides = try resumption.merged(request.overrides)
    plan = try Self.plan(
      request, overrides, hasModel: resumption.recorded != nil || initial != nil, tokenizer?.vocabularySize, dataset,
      executor)
    var settings = try Self.resolve(
      overrides.adding(plan?.plan.additions ?? []), preset: plan?.chosen.preset ?? preset ?? Preset.all[0],
      initial: initial?.config, tokenizer: tokenizer, from: model)
    let V = settings.model.vocabularySize
    if isMasked {
      // Ids without a tokenizer say nothing of a mask: then it is the vocabulary's last, which no text has.
      let known = tokenizer?.maskToken ?? model?.config.maskToken(nil)
      settings.model.maskTokenID = known.map(Int.init) ?? V - 1
      if known == nil { Log.line("the mask is id \(V - 1), the last of model.vocab_size; the data must not have it") }
      try dataset.validate(vocabularySize: known == nil ? V - 1 : V)
    } else {
      try dataset.validate(vocabularySize: V)
    }
    _ = try dataset.trainGroups(weights: settings.data.weights)
    self.settings = settings
    maskToken = settings.model.maskTokenID.map(Int32.init(clamping:))
  }

  /// The text of the token that stands for what is to be filled in.
  var maskText: String? { maskToken.flatMap { tokenizer?.decode([$0]) } }

  /// Trains to the end.
  ///
  /// - Throws: ``Stopped`` after a signal, when the run is saved.
  func start() throws {
    if let plan {
      try FileSystem.write(plan.json.serialized(pretty: true) + "\n", to: folder.planPath)
    }
    let history = try Self.train(
      settings, inputs, initial: initial, checkpoint: checkpoint, resumes: request.resumes, folder: folder,
      tokenizer: tokenizer, chatTemplate: try (checkpoint ?? initial)?.chatTemplate(), executor: executor,
      dashboard: request.dashboard
    ) { settings, store, state in
      guard let maskToken else {
        return try Objective.nextToken(
          dataset, settings, store: store, executor: executor, tokenizer: tokenizer, place: state.place)
      }
      return try Objective.maskedToken(
        dataset, settings, store: store, executor: executor, tokenizer: tokenizer, mask: maskToken,
        place: state.place)
    }
    if let history, let outcome = PlanOutcome(folder, history) { Log.line(outcome.text) }
  }

  /// Trains for any objective to the end, from a checkpoint, a model or anew.
  ///
  /// - Returns: how the run went; nil where that can't be read.
  /// - Throws: ``Stopped`` after a signal, when the run is saved.
  @discardableResult static func train(
    _ settings: Settings, _ inputs: RunInputs, initial: ModelFolder?, checkpoint: ModelFolder?, resumes: Bool,
    folder: RunFolder, tokenizer: Tokenizer?, chatTemplate: ChatTemplate?, executor: any Executor,
    dashboard: DashboardAddress?,
    objective: (_ settings: Settings, _ store: any ParameterStore, _ state: TrainerState) throws -> Objective
  ) throws -> RunHistory? {
    var settings = settings
    settings.choosePrecision(for: executor)
    let transformer = try Transformer(settings.model)
    let store = try executor.makeParameters(
      transformer.parameterLayout, training: true, moments: settings.train.moments ?? .fp32)
    func startAnew() throws {
      // What an initial model doesn't have, as the head of a new classifier, begins anew.
      try Initialization(settings.model).fill(store, seed: settings.train.seed)
      try initial?.load(into: store)
    }
    var state = TrainerState()
    if let checkpoint {
      state = try Checkpoint.read(checkpoint, into: store)
      executor.choices = state.choices
    } else {
      try startAnew()
    }
    state.inputs = inputs.after(state.inputs)
    let usedBefore = resumes ? MetricsLog.elapsed(path: folder.metricsPath) ?? state.elapsed : 0
    let page = dashboard.map { DashboardView($0, folder) }
    let observers = Observers(
      [ProgressView { executor.plannedBytes }, TensorBoardLog(folder)] + [page].compactMap(\.self))
    let trainer = try settings.fitting(halved: { bytes, purpose, settings in
      Log.line(
        "\(bytes >> 20) MiB for \(purpose) can't be had: passes of \(settings.train.resolvedMicroBatch) of "
          + "\(settings.train.batchSize) rows instead")
    }) { settings in
      let objective = try objective(settings, store, state)
      // Whoever waits counts from the start of the program: all that comes before training is part of a budget.
      return try Trainer(
        settings, store: store, state: state, executor: executor, tokenizer: tokenizer, chatTemplate: chatTemplate,
        folder: folder, objective: objective, usedBefore: usedBefore + RunClock.monotonic(), startAnew: startAnew,
        observe: observers.observe)
    }
    // Not before: what doesn't fit into memory leaves no run behind.
    try folder.create()
    try FileSystem.write(settings.yaml, to: folder.settingsPath)
    Signals.watch()
    let outcome = Result { try trainer.run { Signals.stop != nil } }
    observers.finish()
    let history = folder.writeReport()
    if case .success(.finished) = outcome, trainer.state.step == 0 {
      Log.line("warning: the budget left no time for a single update: the model has learned nothing; give it more")
    }
    if try outcome.get() == .stopped, let signal = Signals.stop {
      Log.line("stopped and saved; go on with --resume --out \(folder.path)")
      throw Stopped(signal: signal)
    }
    return history
  }

  // MARK: Resolving

  /// Finds wrong settings before text is prepared for minutes; only the vocabulary isn't known yet.
  private static func checkSettings(
    _ request: Request, _ resumption: Resumption, _ initial: ModelFolder?
  ) throws {
    let overrides = try resumption.merged(request.overrides)
    _ = try Settings.resolve(
      preset: request.preset.flatMap(Preset.named) ?? Preset.all[0], overrides: overrides, initial: initial?.config,
      tokens: initial == nil && overrides["model.vocab_size"] == nil ? 256 : nil)
  }

  /// Whether the model is to fill in masked tokens.
  private static func isMasked(
    _ request: Request, _ resumption: Resumption, _ model: ModelFolder?
  ) throws -> Bool {
    if let model { return model.config.isBidirectional }
    let asked = try resumption.merged(request.overrides)["model.architecture"].flatMap(ModelConfig.Architecture.init)
    return (asked ?? request.preset.flatMap(Preset.named)?.architecture)?.isBidirectional ?? false
  }

  /// - Parameter model: whose marks of a text's start and end stay; nil: the tokenizer's.
  static func resolve(
    _ overrides: SettingOverrides, preset: Preset, initial: ModelConfig?, tokenizer: Tokenizer?,
    from model: ModelFolder?
  ) throws -> Settings {
    var settings = try Settings.resolve(
      preset: preset, overrides: overrides, initial: initial, tokens: tokenizer?.vocabularySize)
    let endOfText = tokenizer?.endOfText.map(Int.init)
    settings.model.bosTokenID = model.map(\.config.bosTokenID) ?? endOfText
    settings.model.eosTokenID = model.map(\.config.eosTokenID) ?? endOfText
    return settings
  }

  /// The vocabulary that suits the model that a budget allows, where nothing else decides; nil: no limit.
  private static func mostTokens(_ request: Request, _ executor: any Executor) throws -> Int? {
    guard request.preset == nil, !request.overrides.assignments.contains(where: { $0.key.hasPrefix("model.") }),
      let budget = request.overrides["train.budget"].flatMap(Double.init), budget.isFinite
    else { return nil }
    return try Planner.vocabularySize(budget: budget, executor: executor)
  }

  /// Plans for the budget where nothing says which model is to be trained.
  private static func plan(
    _ request: Request, _ overrides: SettingOverrides, hasModel: Bool, _ tokens: Int?, _ dataset: Dataset,
    _ executor: any Executor
  ) throws -> BudgetPlan? {
    let isGiven = request.preset != nil || hasModel || overrides.assignments.contains { $0.key.hasPrefix("model.") }
    guard let budget = overrides["train.budget"].flatMap(Double.init), !isGiven, let tokens else { return nil }
    let plan = try BudgetPlan.make(budget: budget, dataset, tokens: tokens, overrides, executor)
    Log.line(plan.text + "\n")
    Log.line(plan.reason)
    return plan
  }

  static func newestCheckpoint(_ folder: RunFolder) -> ModelFolder? {
    let newest = folder.newestCheckpoint { Log.line("warning: a checkpoint is not whole and is passed over: \($0)") }
    if newest == nil, !folder.checkpointSteps.isEmpty {
      Log.line("warning: \(folder.path): no checkpoint is whole: the run starts anew")
    }
    return newest
  }

  /// runs/NAME-N: with the first N that is free, or, to go on, the last that isn't.
  private static func folder(_ request: Request) -> String {
    let name = request.name ?? request.preset ?? "run"
    if request.resumes, let last = numbers(of: name).max() { return "runs/\(name)-\(last)" }
    return (1...).lazy.map { "runs/\(name)-\($0)" }.first { !FileSystem.exists($0) } ?? "runs/\(name)"
  }

  private static func numbers(of name: String) -> [Int] {
    let names = (try? FileSystem.names(in: "runs")) ?? []
    return names.compactMap { $0.hasPrefix(name + "-") ? Int($0.dropFirst(name.count + 1)) : nil }
  }
}
