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
  private let objective: Objective
  private let output: RunOutput
  private let clock: RunClock
  private let update: UpdateStep
  private var budget: BudgetKeeper?
  /// Updates that were sent to the device and not reported, the oldest first.
  private var underWay: [StepUnderWay] = []
  /// When the device had made the last update that was reported.
  private var lastReport: Double?
  package private(set) var state: TrainerState
  /// A checkpoint is due that waits until all is well.
  private var saveIsDue = false
  /// Where this process has begun, if all was well there: that will do to go back to.
  private let firstGoodStep: Int
  /// Fills the weights as the run began.
  private let startAnew: () throws -> Void
  private var evaluated: (step: Int, isBest: Bool)?
  private let sampler: Sampler?
  private var energy = EnergyMeter()

  /// What is known of an update before the device has made it.
  private struct StepUnderWay {
    let step: Int
    /// Of this update, and of the run with it.
    let newTokens, tokens: Int
    let learningRate: Float
    let progress: Double
    let dataWaitSeconds: Double
    let start: Double
  }

  /// - Parameters:
  ///   - store: weights and optimizer state, first ones or those of a checkpoint that `state` belongs to.
  ///   - chatTemplate: goes into the checkpoints of models for conversations.
  ///   - objective: goes on where `state` stands.
  ///   - usedBefore: seconds that the run has used before this process.
  ///   - now: the clock that budgets are kept by.
  ///   - startAnew: fills the weights as the run began, where it must go back and there is no checkpoint.
  /// - Throws: ``ComputeError``, ``FormatError``, ``CorpusError``.
  package init(
    _ settings: Settings, store: any ParameterStore, state: TrainerState, executor: any Executor,
    tokenizer: Tokenizer?, chatTemplate: ChatTemplate? = nil, folder: RunFolder, objective: Objective,
    usedBefore: Double, now: @escaping @Sendable () -> Double = RunClock.monotonic,
    startAnew: @escaping () throws -> Void, observe: @escaping (TrainingEvent) -> Void
  ) throws {
    self.settings = settings
    self.store = store
    self.state = state
    self.executor = executor
    self.objective = objective
    self.startAnew = startAnew
    firstGoodStep = state.spikes.isWell ? state.step : 0
    clock = RunClock(before: usedBefore, now: now)
    transformer = try Transformer(settings.model)
    update = try UpdateStep(
      transformer, settings: settings.train, mask: objective.source.mask, perRow: objective.source.perRow,
      store: store, executor: executor)
    sampler = try Sampler(transformer, settings: settings, weights: store, executor: executor, tokenizer: tokenizer)
    if settings.train.precision == .fp16, state.lossScale == nil { self.state.lossScale = LossScale() }
    // After all that training itself needs in memory.
    output = try RunOutput(
      folder, settings, step: state.step, layout: store.layout, tokenizer: tokenizer, chatTemplate: chatTemplate,
      observe: observe)
    let evaluationTokens = objective.validation?.predictedTokens ?? 0
    budget = settings.train.budget.map {
      BudgetKeeper(budget: $0, validationTokens: evaluationTokens, checkpointBytes: 3 * 4 * store.layout.count)
    }
    budget?.beginSave(elapsed: usedBefore)
    if state.step > 0 { budget?.evaluated(elapsed: usedBefore) }
  }

  /// Trains to the end, or until `stop` says so.
  ///
  /// - Throws: ``TrainingError``, ``FormatError``.
  package func run(stop: () -> Bool) throws -> Outcome {
    defer { output.close() }
    do {
      return try train(stop)
    } catch ComputeError.device(let problem) {
      // What it did last isn't known, and it may never answer again.
      throw ComputeError.device(problem)
    } catch {
      // What was learned isn't lost with a file that can't be read, or memory that can't be had.
      try? saveForResume()
      throw error
    }
  }

  private func saveForResume() throws {
    try finishUpdates()
    guard state.step > 0, state.spikes.isWell else { return }
    try save(best: false)
    try finishSaves()
  }

  private func train(_ stop: () -> Bool) throws -> Outcome {
    try output.tell(
      .started(
        RunDescription(
          device: executor.deviceDescription, parameters: store.layout.parameterCount,
          flopsPerToken: update.flopsPerToken,
          peakFlops: settings.train.precision.flatMap { executor.peakFlops($0) },
          trainTokens: objective.trainTokens, firstStep: state.step, elapsed: clock.elapsed, settings: settings)))
    // A process that is killed early has used its time as well.
    try output.flush()
    if budget != nil { try measureEvaluation() }
    let schedule = Schedule(settings.train)

    while !isDone {
      // Behind updates that were skipped the weights may be no numbers: a few more tell, or the run goes back.
      if state.spikes.skippedInARow == 0, stop() {
        try finishUpdates()
        try tellEnergy()
        try save(best: false)
        try finishSaves()
        return .stopped
      }
      try beginUpdate(schedule)
      try finishUpdates(leaving: runsAhead ? 1 : 0)
      if let complaint = state.spikes.complaint {
        if case .learnsNothing = complaint, state.rollbacks >= settings.train.maxRollbacks {
          state.spikes.accept()
        } else {
          try goBack("\(complaint)")
          continue
        }
      }
      noteSaves(try output.takeSaves(waiting: false))
      if isDue(settings.train.evalEvery, automatic: budget?.isEvaluationDue(elapsed: clock.elapsed)) {
        try finishUpdates()
        let isBest = try evaluate()
        evaluated = (state.step, isBest)
        try lookInside()
        if isBest, settings.train.checkpointEvery > 0 || budget != nil { try save(best: true) }
      }
      if isDue(settings.train.checkpointEvery, automatic: budget?.isSaveDue(elapsed: clock.elapsed)) {
        saveIsDue = true
      }
      if saveIsDue {
        try finishUpdates()
        if state.spikes.isWell { try save(best: false) }
      }
    }

    try finishUpdates()
    if evaluated?.step != state.step {
      evaluated = (state.step, try evaluate())
      try lookInside()
    }
    try save(best: evaluated?.isBest ?? false)
    try finishSaves()
    // Whoever waits for nothing better to come wants the best.
    if settings.train.patience > 0, let best = output.folder.linkedStep("best") {
      try output.folder.link("latest", to: best)
    }
    try output.tell(
      .finished(step: state.step, memory: executor.plannedBytes ?? ProcessMemory.peak, elapsed: clock.elapsed))
    return .finished
  }

  // MARK: Updates

  /// Sends the next update to the device; from here on it belongs to the state.
  private func beginUpdate(_ schedule: Schedule) throws {
    let step = state.step + 1
    let progress = progress(atStep: step)
    let rows = update.rows(at: progress)
    let tokens = rows * settings.train.context
    let warmupStep = warmupStep(step, progress: progress)
    if warmupStep >= settings.train.warmupSteps {
      // The rate peaks where the warmup ends; without a warmup, where the run begins. Progress falls behind that place where a
      // resume moves the end away, or after an update that stood still.
      state.warmupEnd = settings.train.warmupSteps > 0 ? min(state.warmupEnd ?? 1, progress) : 0
    }
    let scheduled = schedule.factor(step: warmupStep, progress: progress, warmupEnd: state.warmupEnd ?? progress)
    let factor = scheduled * Float(sign: .plus, exponent: -state.rollbacks, significand: 1)
    let source = objective.source
    let waitedBefore = source.dataWaitSeconds
    let start = clock.elapsed
    // AdamW counts the updates that it has made, as far as is known: where the device runs ahead, the report of the update
    // before may be here or not.
    let isLate = executor.runsAhead && state.lossScale == nil && state.spikes.hasSkipped(step - 1)
    try update.begin(
      step: step - state.skippedUpdates + (isLate ? 1 : 0), progress: progress, firstMicroStep: state.microSteps,
      rateFactor: factor, lossScale: state.lossScale?.value ?? 1, limits: state.spikes.limits(step: step),
      source: source)
    budget?.beginStep()
    state.step = step
    state.rows += rows
    state.tokens += tokens
    state.microSteps += rows / settings.train.resolvedMicroBatch
    underWay.append(
      StepUnderWay(
        step: step, newTokens: tokens, tokens: state.tokens, learningRate: settings.train.learningRate * factor,
        progress: progress, dataWaitSeconds: source.dataWaitSeconds - waitedBefore, start: start))
  }

  /// Reports updates as the device makes them, until so many are under way.
  private func finishUpdates(leaving count: Int = 0) throws {
    while underWay.count > count {
      let this = underWay.removeFirst()
      let result = try update.finish()
      let now = clock.elapsed
      let took = now - max(this.start, lastReport ?? this.start)
      lastReport = now
      let problem = note(result, step: this.step)
      budget?.noteStep(seconds: took)
      state.elapsed = clock.elapsed
      let metrics = StepMetrics(
        step: this.step, tokens: this.tokens, loss: result.loss, accuracy: result.accuracy,
        learningRate: this.learningRate, gradientNorm: result.gradientNorm, skippedUpdates: state.skippedUpdates,
        rollbacks: state.rollbacks, tokensPerSecond: Double(this.newTokens) / max(took, 1e-9),
        dataWaitSeconds: this.dataWaitSeconds, elapsed: state.elapsed, progress: this.progress)
      try output.tell(.step(metrics))
      if let problem {
        try output.tell(
          .skipped(step: this.step, problem, lossScale: state.lossScale?.value ?? 1, elapsed: state.elapsed))
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
  /// A run that went back warms up again as it is written.
  private func warmupStep(_ step: Int, progress: Double) -> Int {
    budget == nil || state.rollbacks > 0 ? step : max(step, Int(10 * progress * Double(settings.train.warmupSteps)))
  }

  private func isDue(_ every: Int, automatic: Bool?) -> Bool {
    if every > 0 { return state.step.isMultiple(of: every) }
    return automatic ?? false
  }

  // MARK: What

  /// Adjusts the loss scale where there is one, and what is known of spikes.
  ///
  /// - Returns: why the update was skipped; nil: it was made.
  private func note(_ result: UpdateReport, step: Int) -> SpikeGuard.Problem? {
    let isFinite = result.gradientNorm.isFinite
    state.lossScale?.note(isFinite: isFinite)
    var problem: SpikeGuard.Problem? = .notFinite
    // That gradients overflow where a smaller scale will do says nothing of the run.
    if isFinite || !result.loss.isFinite || (state.lossScale?.value ?? 0) < LossScale.least {
      problem = state.spikes.note(result, step: step)
    }
    if problem != nil { state.skippedUpdates += 1 }
    return problem
  }

  /// Finds out what an evaluation costs, so that the last one fits into the budget.
  private func measureEvaluation() throws {
    guard let validation = objective.validation else { return }
    let start = clock.elapsed
    let result = try validation.evaluate(limit: validation.batchTokens)
    budget?.noteBatch(tokens: result.tokens, seconds: clock.elapsed - start)
  }

  /// Measures the validation split. True: no evaluation before was better.
  private func evaluate() throws -> Bool {
    defer { budget?.evaluated(elapsed: clock.elapsed) }
    guard let validation = objective.validation else { return false }
    let start = clock.elapsed
    let result = try validation.evaluate(limit: budget?.evaluationLimit)
    guard result.tokens > 0 else { return false }
    budget?.noteEvaluation(tokens: result.tokens, seconds: clock.elapsed - start)
    try output.tell(.evaluated(step: state.step, split: "val", result, elapsed: clock.elapsed))
    try output.flush()
    // On a budget the last evaluation may look at more than the ones before: then it stands by itself.
    let isComparable = result.tokens <= state.evaluatedTokens ?? .max
    state.evaluatedTokens = result.tokens
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
    let begin = clock.elapsed
    defer { budget?.noteSample(seconds: clock.elapsed - begin) }
    try output.tell(.layers(step: state.step, LayerSize.all(of: store), elapsed: clock.elapsed))
    try tellEnergy()
    guard let text = try sampler?.text() else { return }
    try output.write(sample: text, step: state.step)
    try output.tell(.sampled(step: state.step, text: text))
  }

  private func tellEnergy() throws {
    guard let joules = energy?.take() else { return }
    try output.tell(.energy(step: state.step, joules: joules, elapsed: clock.elapsed))
  }

  // MARK: Saving

  private func save(best: Bool) throws {
    saveIsDue = false
    budget?.beginSave(elapsed: clock.elapsed)
    state.elapsed = clock.elapsed
    state.choices.merge(executor.choices) { $1 }
    // Until something is evaluated, the newest.
    noteSaves(try output.save(state, from: store, isBest: best || state.bestLoss == nil))
  }

  private func noteSaves(_ seconds: [Double]) {
    for each in seconds { budget?.noteSave(seconds: each) }
  }

  /// Waits for the last checkpoint, without which the run isn't done.
  private func finishSaves() throws {
    noteSaves(try output.takeSaves(waiting: true))
    try output.requireSaved()
  }

  // MARK: Going back

  /// Goes back to a checkpoint of before the trouble, or to the beginning, and on from there in another order of the data at
  /// half the rate.
  private func goBack(_ reason: String) throws {
    // What is under way belongs to what is given up.
    for _ in underWay { _ = try update.finish() }
    underWay = []
    budget?.dropSteps()
    noteSaves(try output.takeSaves(waiting: true))
    let (failed, spikes, rollbacks) = (state.step, state.spikes, state.rollbacks + 1)
    let folder = output.folder
    let limit = max(spikes.lastGoodStep, firstGoodStep)
    let good = folder.newestCheckpoint(upTo: limit)
    try output.goingOn { try folder.removeCheckpoints(after: limit) }
    guard rollbacks <= settings.train.maxRollbacks else {
      throw TrainingError.diverged(
        step: failed, what: reason, rollbacks: state.rollbacks, checkpoint: good?.path)
    }
    let inputs = state.inputs
    if let good {
      state = try Checkpoint.read(good, into: store)
    } else {
      try startAnew()
      try store.clearMoments()
      state = TrainerState()
      if settings.train.precision == .fp16 { state.lossScale = LossScale() }
    }
    // A checkpoint may have learned from what was changed since.
    state.inputs = inputs
    state.rollbacks = rollbacks
    state.spikes.pardon(until: failed)
    state.elapsed = clock.elapsed
    (evaluated, saveIsDue) = (nil, false)
    try output.rewind(to: state.step, isSaved: good != nil)
    try objective.source.move(to: state.place)
    try output.tell(
      .rolledBack(from: failed, to: state.step, reason: reason, rollbacks: rollbacks, elapsed: state.elapsed))
    try output.flush()
  }
}
