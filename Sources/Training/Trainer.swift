package import Compute
import Evaluation
import Formats
import Generation
import Models
package import Tokenization

/// The loop: forward, backward, accumulate, update; evaluate, sample and save along the way; end on time.
package final class Trainer {
  package enum Outcome: Sendable, Equatable {
    case finished
    /// Somebody asked to stop; the run is saved.
    case stopped
  }

  private let settings: Settings
  private let transformer: Transformer
  private let store: any ParameterStore
  private let executor: any Executor
  private let tokenizer: Tokenizer?
  private let chatTemplate: ChatTemplate?
  private let folder: RunFolder
  private let objective: Objective
  private let log: MetricsLog
  private let observe: (TrainingEvent) -> Void
  private let clock: RunClock
  private let update: UpdateStep
  private var budget: BudgetKeeper?
  /// Updates that were sent to the device and not reported, the oldest first.
  private var underWay: [StepUnderWay] = []
  /// When the device had made the last update that was reported.
  private var lastReport: ContinuousClock.Instant?
  package private(set) var state: TrainerState
  /// The step of the checkpoint that this process has read or written last.
  private var savedStep: Int?
  /// Tokens that the evaluation before looked at.
  private var evaluatedTokens: Int?
  private var energy = EnergyMeter()

  /// What is known of an update before the device has made it.
  private struct StepUnderWay {
    let step, tokens: Int
    let learningRate: Float
    let progress: Double
    let dataWaitSeconds: Double
    let start: ContinuousClock.Instant
  }

  /// - Parameters:
  ///   - store: weights and optimizer state, first ones or those of a checkpoint that `state` belongs to.
  ///   - chatTemplate: goes into the checkpoints of models for conversations.
  ///   - objective: goes on where `state` stands.
  ///   - usedBefore: seconds that the run has used before this process.
  /// - Throws: ``ComputeError``, ``FormatError``, ``CorpusError``.
  package init(
    _ settings: Settings, store: any ParameterStore, state: TrainerState, executor: any Executor,
    tokenizer: Tokenizer?, chatTemplate: ChatTemplate? = nil, folder: RunFolder, objective: Objective,
    usedBefore: Double,
    observe: @escaping (TrainingEvent) -> Void
  ) throws {
    self.settings = settings
    self.store = store
    self.state = state
    savedStep = state.step > 0 ? state.step : nil
    self.executor = executor
    self.tokenizer = tokenizer
    self.chatTemplate = chatTemplate
    self.folder = folder
    self.objective = objective
    self.observe = observe
    clock = RunClock(before: usedBefore)
    transformer = try Transformer(settings.model)
    update = try UpdateStep(
      transformer, settings: settings.train, mask: objective.source.mask, perRow: objective.source.perRow,
      store: store, executor: executor)
    if settings.train.precision == .fp16, state.lossScale == nil { self.state.lossScale = LossScale() }
    log = try MetricsLog(path: folder.metricsPath, keepingUntil: state.step)
    let evaluationTokens = objective.validation?.predictedTokens ?? 0
    budget = settings.train.budget.map {
      BudgetKeeper(budget: $0, validationTokens: evaluationTokens, checkpointBytes: 3 * 4 * store.layout.count)
    }
  }

  /// Trains to the end, or until `stop` says so.
  ///
  /// - Throws: ``TrainingError``, ``FormatError``.
  package func run(stop: () -> Bool) throws -> Outcome {
    // Also when something fails: what has happened is on record.
    defer { try? log.close() }
    try tell(
      .started(
        RunDescription(
          device: executor.deviceDescription, parameters: store.layout.parameterCount,
          flopsPerToken: update.flops / Double(tokensPerStep),
          peakFlops: settings.train.precision.flatMap { executor.peakFlops($0) },
          trainTokens: objective.trainTokens, firstStep: state.step, elapsed: clock.elapsed, settings: settings)))
    if budget != nil { try measureEvaluation() }
    let schedule = Schedule(settings.train)
    var evaluated: (step: Int, isBest: Bool)?

    while !isDone {
      if stop() {
        try finishUpdates()
        try tellEnergy()
        try save(best: false)
        return .stopped
      }
      try beginUpdate(schedule)
      try finishUpdates(leaving: runsAhead ? 1 : 0)
      if isDue(settings.train.evalEvery, automatic: budget?.isEvaluationDue(elapsed: clock.elapsed)) {
        try finishUpdates()
        let isBest = try evaluate()
        evaluated = (state.step, isBest)
        try lookInside()
        if isBest, settings.train.checkpointEvery > 0 || budget != nil { try save(best: true) }
      }
      if isDue(settings.train.checkpointEvery, automatic: nil) {
        try finishUpdates()
        try save(best: false)
      }
    }

    try finishUpdates()
    if evaluated?.step != state.step {
      evaluated = (state.step, try evaluate())
      try lookInside()
    }
    try save(best: evaluated?.isBest ?? false)
    // Whoever waits for nothing better to come wants the best.
    if settings.train.patience > 0, let best = folder.linkedStep("best") { try folder.link("latest", to: best) }
    try tell(.finished(step: state.step, elapsed: clock.elapsed))
    return .finished
  }

  /// Tells whoever watches what happens, and puts it on record.
  private func tell(_ event: TrainingEvent) throws(FormatError) {
    observe(event)
    if let line = event.line { try log.append(line) }
  }

  // MARK: Updates

  private var tokensPerStep: Int { settings.train.batchSize * settings.train.context }

  /// Sends the next update to the device; from here on it belongs to the state.
  private func beginUpdate(_ schedule: Schedule) throws {
    let step = state.step + 1
    let progress = progress(atStep: step)
    let warmupStep = warmupStep(step, progress: progress)
    if warmupStep >= settings.train.warmupSteps, state.warmupEnd == nil {
      // The rate peaks where the warmup ends; without a warmup, where the run begins.
      state.warmupEnd = settings.train.warmupSteps > 0 ? progress : 0
    }
    let factor = schedule.factor(step: warmupStep, progress: progress, warmupEnd: state.warmupEnd ?? progress)
    let source = objective.source
    let waitedBefore = source.dataWaitSeconds
    let start = ContinuousClock.now
    // AdamW counts the updates that it has made.
    try update.begin(
      step: step - state.skippedUpdates, firstMicroStep: state.microSteps, rateFactor: factor,
      lossScale: state.lossScale?.value ?? 1, source: source)
    budget?.beginStep()
    state.step = step
    state.rows += settings.train.batchSize
    state.tokens += tokensPerStep
    state.microSteps += settings.train.batchSize / settings.train.resolvedMicroBatch
    underWay.append(
      StepUnderWay(
        step: step, tokens: state.tokens, learningRate: settings.train.learningRate * factor, progress: progress,
        dataWaitSeconds: source.dataWaitSeconds - waitedBefore, start: start))
  }

  /// Reports updates as the device makes them, until so many are under way.
  private func finishUpdates(leaving count: Int = 0) throws {
    while underWay.count > count {
      let this = underWay.removeFirst()
      let result = try update.finish()
      let now = ContinuousClock.now
      let took = seconds(now - max(this.start, lastReport ?? this.start))
      lastReport = now
      let isSkipped = try noteFiniteness(of: result, step: this.step)
      budget?.noteStep(seconds: took)
      state.elapsed = clock.elapsed
      let metrics = StepMetrics(
        step: this.step, tokens: this.tokens, loss: result.loss, accuracy: result.accuracy,
        learningRate: this.learningRate, gradientNorm: result.gradientNorm, skippedUpdates: state.skippedUpdates,
        tokensPerSecond: Double(tokensPerStep) / max(took, 1e-9),
        dataWaitSeconds: this.dataWaitSeconds, elapsed: state.elapsed, progress: this.progress)
      try tell(.step(metrics))
      if isSkipped {
        try tell(.skipped(step: state.step, lossScale: state.lossScale?.value ?? 1, elapsed: state.elapsed))
      }
      energy?.keepUp()
    }
  }

  /// Whether the next update may be sent before the last one's report is here.
  private var runsAhead: Bool {
    // The next loss scale hangs on whether the last one was too large.
    executor.runsAhead && state.lossScale == nil && !(budget?.isNearEnd(elapsed: clock.elapsed) ?? false)
  }

  // MARK: When

  private var isDone: Bool {
    if let steps = settings.train.steps, state.step >= steps { return true }
    let patience = settings.train.patience
    if patience > 0, state.evaluationsSinceBest >= patience { return true }
    return budget?.isOver(elapsed: clock.elapsed) ?? false
  }

  /// The share of the run that is done when update `step` is made; 1 for the last.
  private func progress(atStep step: Int) -> Double {
    let bySteps = settings.train.steps.map { Double(step) / Double($0) } ?? 0
    let byTime = budget?.progress(elapsed: clock.elapsed) ?? 0
    return min(1, max(bySteps, byTime))
  }

  /// The step as the warmup counts it: of a budget too short for its steps, the warmup takes a tenth at most.
  private func warmupStep(_ step: Int, progress: Double) -> Int {
    budget == nil ? step : max(step, Int(10 * progress * Double(settings.train.warmupSteps)))
  }

  private func isDue(_ every: Int, automatic: Bool?) -> Bool {
    if every > 0 { return state.step.isMultiple(of: every) }
    return automatic ?? false
  }

  // MARK: What

  /// Adjusts the loss scale where there is one. True: the update was skipped, as its gradients were no numbers.
  private func noteFiniteness(of result: UpdateReport, step: Int) throws(TrainingError) -> Bool {
    let isFinite = result.gradientNorm.isFinite
    state.lossScale?.note(isFinite: isFinite)
    let canGoOn = isFinite || state.lossScale.map { $0.value >= LossScale.least } ?? false
    guard result.loss.isFinite, canGoOn else {
      throw .diverged(step: step, what: "loss \(result.loss), gradient norm \(result.gradientNorm)")
    }
    if !isFinite { state.skippedUpdates += 1 }
    return !isFinite
  }

  /// Finds out what an evaluation costs, so that the last one fits into the budget.
  private func measureEvaluation() throws {
    guard let validation = objective.validation else { return }
    let start = ContinuousClock.now
    let result = try validation.evaluate(limit: validation.batchTokens)
    budget?.noteBatch(tokens: result.tokens, seconds: seconds(ContinuousClock.now - start))
  }

  /// Measures the validation split. True: no evaluation before was better.
  private func evaluate() throws -> Bool {
    defer { budget?.evaluated(elapsed: clock.elapsed) }
    guard let validation = objective.validation else { return false }
    let start = ContinuousClock.now
    let result = try validation.evaluate(limit: budget?.evaluationLimit)
    guard result.tokens > 0 else { return false }
    budget?.noteEvaluation(tokens: result.tokens, seconds: seconds(ContinuousClock.now - start))
    try tell(.evaluated(step: state.step, split: "val", result, elapsed: clock.elapsed))
    try log.flush()
    // On a budget the last evaluation may look at more than the ones before: then it stands by itself.
    let isComparable = result.tokens <= evaluatedTokens ?? .max
    evaluatedTokens = result.tokens
    guard !isComparable || result.loss < state.bestLoss ?? .infinity else {
      state.evaluationsSinceBest += 1
      return false
    }
    state.bestLoss = result.loss
    state.evaluationsSinceBest = 0
    return true
  }

  /// What is looked at when the model is evaluated, beside the result.
  private func lookInside() throws {
    let begin = ContinuousClock.now
    defer { budget?.noteSample(seconds: seconds(ContinuousClock.now - begin)) }
    try tell(.layers(step: state.step, LayerSize.all(of: store), elapsed: clock.elapsed))
    try tellEnergy()
    try sample()
  }

  private func tellEnergy() throws(FormatError) {
    guard let joules = energy?.take() else { return }
    try tell(.energy(step: state.step, joules: joules, elapsed: clock.elapsed))
  }

  /// Lets the model write a little, to look at.
  private func sample() throws {
    guard !settings.model.isBidirectional, !settings.model.isClassifier, let tokenizer, let start = tokenizer.endOfText,
      settings.model.vocabularySize >= tokenizer.vocabularySize
    else { return }
    var options = SamplingOptions()
    options.temperature = 0.8
    options.topP = 0.95
    options.seed = settings.train.seed
    let maxTokens = min(96, settings.model.maxPositions)
    let session = try KeyValueSession(transformer, weights: store, executor: executor, longest: 1 + maxTokens)
    let generator = Generator(session, tokenizer: tokenizer, endOfText: start)
    let text = try generator.generate(prompt: [start], maxTokens: maxTokens, options: options).text
    let name = Path.name(folder.checkpointPath(step: state.step)) + ".txt"
    try FileSystem.write(text + "\n", to: Path.join(folder.samplesPath, name))
    try tell(.sampled(step: state.step, text: text))
  }

  private func save(best: Bool) throws {
    state.elapsed = clock.elapsed
    state.choices.merge(executor.choices) { $1 }
    let path = folder.checkpointPath(step: state.step)
    let start = ContinuousClock.now
    // First: whoever resumes from this checkpoint must find every line up to it.
    try log.flush()
    if savedStep != state.step {
      try Checkpoint.write(
        to: path, config: settings.model, tokenizer: tokenizer, chatTemplate: chatTemplate, store: store, state: state)
      savedStep = state.step
    }
    try folder.link("latest", to: state.step)
    // Where nothing measures which is best, the newest is.
    if best || objective.validation == nil || folder.linkedStep("best") == nil {
      try folder.link("best", to: state.step)
    }
    try folder.prune(keeping: settings.train.keepCheckpoints)
    budget?.noteSave(seconds: seconds(ContinuousClock.now - start))
    try tell(.saved(step: state.step, path: path))
  }
}
