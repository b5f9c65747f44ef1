import Compute
import Testing
import Training

@Suite("The budget")
struct BudgetKeeperTests {
  /// A run as the trainer makes it, on a clock that is only counted.
  private struct Machine {
    var budget: Double
    var stepSeconds: Double
    /// A step takes up to this share more or less.
    var jitter = 0.0
    /// The first step touches fresh memory.
    var firstStepFactor = 1.0
    var validationTokens = 0
    var batchTokens = 1000
    var secondsPerToken = 0.0
    var sampleSeconds = 0.0
    var saveSeconds = 0.1
    var checkpointBytes = 0
    /// Updates that are sent while the device is at the one before.
    var ahead = 0
    var evaluatesOnTheWay = true
    var seed: UInt64 = 1

    struct Outcome {
      var end = 0.0
      var steps = 0
      var progress: [Double] = []
      var evaluations = 0
      /// Seconds that evaluations on the way took.
      var evaluating = 0.0
      var lastEvaluationTokens = 0
    }

    func run() -> Outcome {
      var keeper = BudgetKeeper(
        budget: budget, validationTokens: validationTokens, checkpointBytes: checkpointBytes)
      let philox = Philox(seed: seed)
      var clock = 0.0
      var outcome = Outcome()
      var evaluatedStep = -1

      func evaluate(isLast: Bool) {
        defer {
          keeper.evaluated(elapsed: clock)
          clock += sampleSeconds
          keeper.noteSample(seconds: sampleSeconds)
        }
        guard validationTokens > 0 else { return }
        let limit = min(keeper.evaluationLimit ?? .max, validationTokens)
        let tokens = min(validationTokens, (limit + batchTokens - 1) / batchTokens * batchTokens)
        clock += Double(tokens) * secondsPerToken
        keeper.noteEvaluation(tokens: tokens, seconds: Double(tokens) * secondsPerToken)
        evaluatedStep = outcome.steps
        outcome.evaluations += 1
        outcome.lastEvaluationTokens = tokens
        if !isLast { outcome.evaluating += Double(tokens) * secondsPerToken }
      }
      var deviceEnd = 0.0
      var lastReport = 0.0
      var underWay: [(start: Double, end: Double)] = []
      func finish(leaving count: Int) {
        while underWay.count > count {
          let step = underWay.removeFirst()
          clock = max(clock, step.end)
          keeper.noteStep(seconds: clock - max(step.start, lastReport))
          lastReport = clock
        }
      }
      func save() {
        clock += saveSeconds
        keeper.noteSave(seconds: saveSeconds)
      }

      if validationTokens > 0 {
        let tokens = min(batchTokens, validationTokens)
        clock += Double(tokens) * secondsPerToken
        keeper.noteBatch(tokens: tokens, seconds: Double(tokens) * secondsPerToken)
      }
      while !keeper.isOver(elapsed: clock) {
        outcome.progress.append(keeper.progress(elapsed: clock))
        let noise = Double(philox.uniform(UInt64(outcome.steps))) * 2 - 1
        let seconds = stepSeconds * (1 + jitter * noise) * (outcome.steps == 0 ? firstStepFactor : 1)
        keeper.beginStep()
        deviceEnd = max(deviceEnd, clock) + seconds
        underWay.append((clock, deviceEnd))
        outcome.steps += 1
        finish(leaving: keeper.isNearEnd(elapsed: clock) ? 0 : ahead)
        if evaluatesOnTheWay, keeper.isEvaluationDue(elapsed: clock) {
          finish(leaving: 0)
          evaluate(isLast: false)
          save()
        }
      }
      finish(leaving: 0)
      if evaluatedStep != outcome.steps { evaluate(isLast: true) }
      save()
      outcome.end = clock
      return outcome
    }
  }

  private static var machines: [Machine] {
    [
      Machine(budget: 3, stepSeconds: 0.005),
      Machine(budget: 60, stepSeconds: 0.05, jitter: 0.5, firstStepFactor: 5),
      Machine(budget: 180, stepSeconds: 0.1, jitter: 0.3, validationTokens: 100_000, secondsPerToken: 1e-5),
      // An evaluation that would take longer than the budget is cut to its share.
      Machine(budget: 180, stepSeconds: 0.1, jitter: 0.3, validationTokens: 10_000_000, secondsPerToken: 1e-4),
      // Nobody evaluates or saves on the way: the end's cost is only guessed.
      Machine(
        budget: 600, stepSeconds: 0.2, validationTokens: 10_000_000, secondsPerToken: 1e-5, evaluatesOnTheWay: false),
      Machine(budget: 600, stepSeconds: 1, saveSeconds: 6, checkpointBytes: 1_500_000_000, evaluatesOnTheWay: false),
      // A single batch of evaluation takes more than its share.
      Machine(
        budget: 60, stepSeconds: 0.5, validationTokens: 100_000, batchTokens: 20_000, secondsPerToken: 2e-4,
        evaluatesOnTheWay: false),
      Machine(
        budget: 3600, stepSeconds: 2, jitter: 0.2, validationTokens: 5_000_000, secondsPerToken: 1e-4, saveSeconds: 8,
        checkpointBytes: 1_500_000_000),
      // Updates that are long beside the margin.
      Machine(budget: 120, stepSeconds: 4, jitter: 0.2),
      Machine(budget: 3, stepSeconds: 0.005, ahead: 1),
      Machine(budget: 60, stepSeconds: 0.5, jitter: 0.5, firstStepFactor: 5, ahead: 1),
      Machine(
        budget: 120, stepSeconds: 4, jitter: 0.1, validationTokens: 100_000, secondsPerToken: 1e-6, ahead: 1),
      Machine(budget: 200, stepSeconds: 0.3, validationTokens: 50_000, secondsPerToken: 1e-5, sampleSeconds: 5),
    ]
  }

  @Test("is never overdrawn, and hardly any of it is left", arguments: machines.indices)
  func onTime(index: Int) {
    for seed in 0..<20 as Range<UInt64> {
      var machine = Self.machines[index]
      machine.seed = seed
      let outcome = machine.run()
      #expect(outcome.end <= machine.budget)
      #expect(outcome.end > 0.9 * machine.budget - 1.5 - 2 * machine.stepSeconds)
    }
  }

  @Test("ends with progress 1, which rises on the way", arguments: machines.indices)
  func reachesTheEnd(index: Int) {
    for seed in 0..<20 as Range<UInt64> {
      var machine = Self.machines[index]
      machine.seed = seed
      let outcome = machine.run()
      #expect(outcome.progress.last == 1)
      #expect(outcome.progress.allSatisfy { $0 >= 0 && $0 <= 1 })
      // Only the last few updates: what noise may take.
      let atTheEnd = outcome.progress.count { $0 == 1 }
      #expect(Double(atTheEnd) <= 3 + 0.05 * Double(outcome.steps))
      let half = outcome.progress[outcome.steps / 2]
      #expect(abs(half - 0.5) < 0.15)
    }
  }

  @Test("that a machine sleeps through in part is used for the rest as before")
  func standsStill() {
    var keeper = BudgetKeeper(budget: 10_000)
    var clock = 0.0
    for step in 0..<5000 where !keeper.isOver(elapsed: clock) {
      _ = keeper.progress(elapsed: clock)
      keeper.beginStep()
      let seconds = step == 100 ? 6000.0 : 1.0
      clock += seconds
      keeper.noteStep(seconds: seconds)
      if step == 101 { #expect(keeper.progress(elapsed: clock) < 0.7) }
    }
    #expect(clock > 9900 && clock <= 10_000)
  }

  @Test("evaluates as often as its share allows, each time as much as at the end")
  func evaluations() {
    for index in [2, 3, 7] {
      let machine = Self.machines[index]
      let outcome = machine.run()
      #expect((2...12).contains(outcome.evaluations))
      let batch = Double(machine.batchTokens) * machine.secondsPerToken
      #expect(outcome.evaluating <= 0.05 * machine.budget + 2 * batch)
      let affordable = Int(0.01 * machine.budget / machine.secondsPerToken)
      #expect(outcome.lastEvaluationTokens >= min(machine.validationTokens, affordable))
    }
  }

  @Test("that is too short for anything trains nothing")
  func tooShort() {
    #expect(BudgetKeeper(budget: 0.1).isOver(elapsed: 0))
    var keeper = BudgetKeeper(budget: 0.1)
    #expect(keeper.progress(elapsed: 0) == 1)
  }
}
