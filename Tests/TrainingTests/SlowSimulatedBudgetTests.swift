import Compute
import ComputeCPU
import Corpus
import Evaluation
import Formats
import Models
import Synchronization
import TestSupport
import Testing
import Training

/// A clock that moves only when something takes time.
private final class FakeTime: Sendable {
  private let seconds = Mutex(0.0)

  func pass(_ more: Double) { seconds.withLock { $0 += more } }
  /// Looking takes a little, too.
  var now: @Sendable () -> Double {
    {
      self.seconds.withLock { seconds in
        seconds += 1e-6
        return seconds
      }
    }
  }
}

/// A real tiny model's rows, each update of which takes as long as a large one's.
private final class SlowSource: BatchSource {
  private let source: any BatchSource
  private let time: FakeTime
  private let stepSeconds: (Double) -> Double
  private let killedAt: Double

  struct Killed: Error {}

  init(_ source: any BatchSource, time: FakeTime, killedAt: Double, stepSeconds: @escaping (Double) -> Double) {
    (self.source, self.time, self.killedAt, self.stepSeconds) = (source, time, killedAt, stepSeconds)
  }

  var mask: MaskKind { source.mask }
  var dataWaitSeconds: Double { 0 }
  func move(to place: DataPlace) throws { try source.move(to: place) }

  func next(_ batch: TokenBatch) throws {
    let now = time.now()
    if now >= killedAt { throw Killed() }
    try source.next(batch)
    time.pass(stepSeconds(now))
  }
}

private final class SlowValidation: Validation {
  private let validation: any Validation
  private let time: FakeTime

  init(_ validation: any Validation, time: FakeTime) {
    (self.validation, self.time) = (validation, time)
  }

  var batchTokens: Int { validation.batchTokens }
  var predictedTokens: Int { validation.predictedTokens }

  func evaluate(limit: Int?) throws -> EvaluationResult {
    let result = try validation.evaluate(limit: limit)
    time.pass(Double(result.tokens) * 5e-3)
    return result
  }
}

@Suite("A run on a budget, on a clock of its own")
struct SlowSimulatedBudgetTests {
  struct Machine: Sendable, CustomTestStringConvertible {
    let budget: Double
    let stepSeconds: Double
    /// When the process is killed; it goes on an hour later.
    var killedAt = Double.infinity
    /// From when on each update takes twice as long.
    var slowsAt = Double.infinity

    var testDescription: String {
      "\(Int(budget)) s in steps of \(stepSeconds) s" + (killedAt.isFinite ? ", killed" : "")
        + (slowsAt.isFinite ? ", slower from the middle on" : "")
    }
  }

  private static let machines = [
    Machine(budget: 60, stepSeconds: 0.1), Machine(budget: 180, stepSeconds: 0.25),
    Machine(budget: 600, stepSeconds: 1), Machine(budget: 1800, stepSeconds: 2),
    Machine(budget: 86_400, stepSeconds: 60),
    Machine(budget: 60, stepSeconds: 0.1, slowsAt: 30), Machine(budget: 600, stepSeconds: 1, slowsAt: 300),
    Machine(budget: 86_400, stepSeconds: 60, slowsAt: 43_200),
    Machine(budget: 600, stepSeconds: 1, killedAt: 400), Machine(budget: 86_400, stepSeconds: 60, killedAt: 50_000),
    Machine(budget: 86_400, stepSeconds: 60, killedAt: 30_000, slowsAt: 43_200),
  ]

  @Test(
    "ends on time with the rate at its floor, checkpoints on the way, also slowed down or killed", arguments: machines)
  func onTime(machine: Machine) throws {
    let folder = try TemporaryFolder()
    let run = RunFolder(folder.file("run"))
    try FileSystem.createFolder(folder.file("data"))
    try writeShard(learnable(700), to: folder.file("data/train-00000.bin"))
    try writeShard(learnable(100, from: 3), to: folder.file("data/val-00000.bin"))
    var settings = tinySettings()
    settings.train.batchSize = 1
    settings.train.steps = nil
    settings.train.budget = machine.budget
    settings.train.learningRate = 1e-3

    let time = FakeTime()
    var used = 0.0
    var events: [TrainingEvent] = []
    /// One process: to the end, or until it is killed.
    func process(killedAt: Double) throws -> Trainer.Outcome {
      let before = MetricsLog.elapsed(path: run.metricsPath) ?? 0
      let start = time.now()
      let executor = try CPUExecutor(threads: 1)
      let store = try executor.makeParameters(try Transformer(settings.model).parameterLayout, training: true)
      var state = TrainerState()
      if let checkpoint = run.newestCheckpoint() {
        state = try Checkpoint.read(checkpoint, into: store)
      } else {
        try Initialization(settings.model).fill(store, seed: 1)
      }
      try run.create()
      let real = try Objective.nextToken(
        Dataset(path: folder.file("data")), settings, store: store, executor: executor, tokenizer: nil,
        place: state.place)
      let validation = try #require(real.validation)
      let objective = Objective(
        source: SlowSource(real.source, time: time, killedAt: start + killedAt) {
          before + $0 - start >= machine.slowsAt ? 2 * machine.stepSeconds : machine.stepSeconds
        },
        trainTokens: real.trainTokens, validation: SlowValidation(validation, time: time))
      let trainer = try Trainer(
        settings, store: store, state: state, executor: executor, tokenizer: nil, folder: run, objective: objective,
        usedBefore: before, now: time.now, startAnew: {}
      ) {
        events.append($0)
        // Writing takes a while.
        if case .saved = $0 { time.pass(0.2) }
      }
      defer { used = before + time.now() - start }
      return try trainer.run { false }
    }

    if machine.killedAt.isFinite {
      #expect(throws: SlowSource.Killed.self) { try process(killedAt: machine.killedAt) }
      time.pass(3600)
      #expect(run.newestCheckpoint() != nil, "something is there to go on from")
    }
    #expect(try process(killedAt: .infinity) == .finished)

    #expect(used >= 0.97 * machine.budget)
    #expect(used <= max(1.005 * machine.budget, machine.budget + 1))
    let steps = events.compactMap { if case .step(let metrics) = $0 { metrics } else { nil } }
    #expect(steps.last?.learningRate == Float(Double(Float(1e-3)) * Double(Float(0.1))))
    #expect(steps.last?.rollbacks == 0)
    #expect(run.linkedStep("latest") == steps.last?.step)
    #expect(run.checkpointSteps.count <= settings.train.keepCheckpoints + 1)
    // A power cut costs an interval at most.
    let elapsed = Dictionary(steps.map { ($0.step, $0.elapsed) }) { $1 }
    let saved = events.compactMap { if case .saved(let step, _) = $0 { elapsed[step] } else { nil } }
    let interval = max(300, 0.02 * machine.budget) + 3 * machine.stepSeconds + 1
    let gaps = zip(saved.dropFirst() + [used], saved).map { $0 - $1 }
    #expect(gaps.allSatisfy { $0 <= interval + 0.02 * machine.budget })
    #expect(saved.count >= Int(0.9 * machine.budget / interval))
    if machine.killedAt.isInfinite {
      #expect(try lines(of: run.metricsPath).filter { $0["kind"] == "train" }.count == steps.count)
    }
  }
}
