/// Keeps a run within its time: what is left for training when the end evaluation and the last checkpoint are paid.
package struct BudgetKeeper {
  private let budget: Double
  private var stepSeconds = 0.0
  /// What a step may take on a noisy machine: the slowest of late.
  private var slowStepSeconds = 0.0
  /// Updates that the device has still to make.
  private var stepsUnderWay = 0
  private var evaluationSecondsPerToken = 0.0
  /// The least that an evaluation takes.
  private var batchSeconds = 0.0
  /// Tokens of the whole validation split.
  private let validationTokens: Int
  private var sampleSeconds = 0.0
  private var saveSeconds: Double
  private var hasSaved = false
  private var lastEvaluation = 0.0
  private var lastSave = 0.0
  /// Whether an update was made at the schedule's end.
  private var hasReachedEnd = false

  /// Shares of the budget that evaluations may take.
  private static let lastEvaluationShare = 0.01
  private static let evaluationsOnTheWayShare = 0.05
  /// Saves on the way: what a power cut costs at most, as a share, and in seconds what isn't worth one.
  private static let saveShare = 0.02
  private static let leastSaveInterval = 300.0
  /// How many times longer than the ones before an update may take and still tell of those to come.
  private static let longestStep = 10.0
  /// Evaluations on the way, at most.
  private static let evaluations = 10.0

  /// - Parameters:
  ///   - validationTokens: what an evaluation without a limit looks at.
  ///   - checkpointBytes: from which the first save's time is guessed.
  package init(budget: Double, validationTokens: Int = 0, checkpointBytes: Int = 0) {
    self.budget = budget
    self.validationTokens = validationTokens
    // Hashing, writing and syncing together: slow disks included.
    saveSeconds = 0.5 + Double(checkpointBytes) / 200e6
  }

  /// Tokens that each evaluation looks at: one number for the whole run, so that results can be compared. Nil: nothing
  /// is known yet.
  package private(set) var evaluationLimit: Int?

  private var lastEvaluationSeconds: Double { budget * Self.lastEvaluationShare }

  /// What an evaluation takes.
  private var evaluationSeconds: Double {
    Double(min(evaluationLimit ?? 0, validationTokens)) * evaluationSecondsPerToken
  }

  /// Seconds that the end takes: an evaluation, a sample, a checkpoint.
  private var endSeconds: Double {
    // An evaluation stops at the first batch beyond its limit.
    let most = lastEvaluationSeconds + batchSeconds
    return min(most, Double(validationTokens) * evaluationSecondsPerToken) + sampleSeconds + saveSeconds
  }

  /// What the end may take longer on a noisy machine.
  private var margin: Double { 0.2 * endSeconds + 0.3 + 0.002 * budget }

  private var trainable: Double { budget - endSeconds - margin }

  /// An update is sent to the device.
  package mutating func beginStep() {
    stepsUnderWay += 1
  }

  /// The oldest update under way is made.
  package mutating func noteStep(seconds: Double) {
    stepsUnderWay -= 1
    // A machine that stood still, as a laptop does, is no slower afterwards.
    let seconds = stepSeconds == 0 ? seconds : min(seconds, Self.longestStep * stepSeconds)
    stepSeconds = stepSeconds == 0 ? seconds : 0.9 * stepSeconds + 0.1 * seconds
    slowStepSeconds = max(seconds, 0.95 * slowStepSeconds + 0.05 * stepSeconds)
  }

  /// One batch of an evaluation, to know what a whole one would take.
  package mutating func noteBatch(tokens: Int, seconds: Double) {
    noteEvaluation(tokens: tokens, seconds: seconds)
    batchSeconds = max(batchSeconds, seconds)
    guard evaluationLimit == nil, evaluationSecondsPerToken > 0 else { return }
    evaluationLimit = max(1, Int(min(1e15, lastEvaluationSeconds / evaluationSecondsPerToken)))
  }

  package mutating func noteEvaluation(tokens: Int, seconds: Double) {
    guard tokens > 0 else { return }
    evaluationSecondsPerToken = max(evaluationSecondsPerToken, seconds / Double(tokens))
  }

  package mutating func noteSample(seconds: Double) {
    sampleSeconds = max(sampleSeconds, seconds)
  }

  /// What is under way was given up.
  package mutating func dropSteps() {
    stepsUnderWay = 0
  }

  /// A save begins.
  package mutating func beginSave(elapsed: Double) {
    lastSave = elapsed
  }

  /// A save is made, and took so long in all.
  package mutating func noteSave(seconds: Double) {
    saveSeconds = hasSaved ? max(saveSeconds, seconds) : seconds
    hasSaved = true
  }

  package mutating func evaluated(elapsed: Double) {
    lastEvaluation = elapsed
  }

  /// Whether another update would make the run late.
  package func isOver(elapsed: Double) -> Bool {
    // A last update at the schedule's end is worth half of the margin.
    endOfNext(elapsed) > trainable + (hasReachedEnd ? 0 : margin / 2)
  }

  /// Whether so few updates are left that it must be known what each took before the next begins.
  package func isNearEnd(elapsed: Double) -> Bool {
    endOfNext(elapsed) + 3 * slowStepSeconds > trainable
  }

  /// When an update that begins now is made.
  private func endOfNext(_ elapsed: Double) -> Double {
    elapsed + Double(stepsUnderWay + 1) * stepSeconds
  }

  /// The share of the training time that is used, counting the update that comes; 1 where it may be the last.
  package mutating func progress(elapsed: Double) -> Double {
    // The update before could have been slow and left no time for this one: then it is the last as well.
    let end = endOfNext(elapsed)
    if end + 1.1 * slowStepSeconds > trainable {
      hasReachedEnd = true
      return 1
    }
    return end / trainable
  }

  package func isSaveDue(elapsed: Double) -> Bool {
    let interval = max(Self.leastSaveInterval, Self.saveShare * budget, saveSeconds / Self.saveShare)
    return elapsed - lastSave >= interval && elapsed < trainable - max(interval / 2, 2 * saveSeconds)
  }

  package func isEvaluationDue(elapsed: Double) -> Bool {
    let interval = max(
      budget / (Self.evaluations + 1), (evaluationSeconds + sampleSeconds) / Self.evaluationsOnTheWayShare)
    return elapsed - lastEvaluation >= interval && elapsed < trainable - interval / 2
  }
}
