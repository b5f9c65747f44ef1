/// Keeps a run within its time: what is left for training when the end evaluation and the last checkpoint are paid.
struct BudgetKeeper {
  private let budget: Double
  private var stepSeconds = 0.0
  private var evaluationSecondsPerToken = 0.0
  private var saveSeconds = 0.5
  private var lastEvaluation = 0.0
  private var evaluationTokens = 0

  /// Evaluations may take this share of the budget: the last one half of it, those on the way the rest.
  private static let evaluationShare = 0.04
  /// Evaluations on the way, at most.
  private static let evaluations = 10.0

  init(budget: Double) {
    self.budget = budget
  }

  /// Tokens that one evaluation may look at; nil: all, as nothing is known yet.
  var evaluationLimit: Int? {
    guard evaluationSecondsPerToken > 0 else { return nil }
    return max(1, Int(budget * Self.evaluationShare / 2 / evaluationSecondsPerToken))
  }

  /// Seconds that the end takes: an evaluation, a sample, a checkpoint, and a margin for a noisy machine.
  private var reserve: Double {
    let evaluation = min(
      budget * Self.evaluationShare / 2,
      Double(evaluationTokens) * evaluationSecondsPerToken)
    return 1.2 * (evaluation + saveSeconds) + 0.3 + 0.002 * budget
  }

  mutating func noteStep(seconds: Double) {
    stepSeconds = stepSeconds == 0 ? seconds : 0.9 * stepSeconds + 0.1 * seconds
  }

  mutating func noteEvaluation(tokens: Int, seconds: Double) {
    guard tokens > 0 else { return }
    evaluationSecondsPerToken = max(evaluationSecondsPerToken, seconds / Double(tokens))
    evaluationTokens = max(evaluationTokens, tokens)
  }

  mutating func noteSave(seconds: Double) {
    saveSeconds = max(saveSeconds, seconds)
  }

  mutating func evaluated(elapsed: Double) {
    lastEvaluation = elapsed
  }

  /// Whether another update would make the run late.
  func isOver(elapsed: Double) -> Bool {
    elapsed + stepSeconds > budget - reserve
  }

  /// The share of the training time that is used, counting the update that comes.
  func progress(elapsed: Double) -> Double {
    let trainable = budget - reserve
    guard trainable > 0 else { return 1 }
    // The update that ends within one step of the end is the last: it gets the floor of the schedule.
    return elapsed + 2 * stepSeconds > trainable ? 1 : (elapsed + stepSeconds) / trainable
  }

  func isEvaluationDue(elapsed: Double) -> Bool {
    let interval = budget / (Self.evaluations + 1)
    return elapsed - lastEvaluation >= interval && elapsed < budget - reserve - interval / 2
  }
}
