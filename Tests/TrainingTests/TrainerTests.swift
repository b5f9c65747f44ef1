import Compute
import ComputeCPU
import Corpus
import Formats
import Foundation
import Models
import TestSupport
import Testing
import Tokenization
import Training

/// Rows of another source; before one update it spoils the weights, as a bit that flips in memory does.
private final class Poison: BatchSource {
  let step: Int
  private let source: any BatchSource
  private let store: any ParameterStore
  private var taken = 0
  private(set) var places: [DataPlace] = []

  init(_ source: any BatchSource, after step: Int, store: any ParameterStore) {
    (self.source, self.step, self.store) = (source, step, store)
  }

  var mask: MaskKind { source.mask }
  var dataWaitSeconds: Double { 0 }

  func next(_ batch: TokenBatch) throws {
    if taken == step, places.isEmpty {
      let entry = store.layout.entries[0]
      try store.write(.weights, entry, [Float](repeating: .nan, count: entry.shape.count))
    }
    taken += 1
    try source.next(batch)
  }

  func move(to place: DataPlace) throws {
    places.append(place)
    try source.move(to: place)
  }
}

@Suite("A training run")
struct TrainerTests {
  private let folder: TemporaryFolder
  private let run: RunFolder

  init() throws {
    folder = try TemporaryFolder()
    run = RunFolder(folder.file("run"))
    try FileSystem.createFolder(folder.file("data"))
    // Two shards and 43 rows in all: a few steps end in the middle of a pass, and go beyond one.
    try writeShard(learnable(500), to: folder.file("data/train-00000.bin"))
    try writeShard(learnable(230, from: 2), to: folder.file("data/train-00001.bin"))
    try writeShard(learnable(100, from: 3), to: folder.file("data/val-00000.bin"))
  }

  /// Trains, anew or from a checkpoint, and gives what was told.
  @discardableResult
  private func train(
    _ settings: Settings, from checkpoint: ModelFolder? = nil, in run: RunFolder? = nil, tokenizer: Tokenizer? = nil,
    threads: Int = 1, usedBefore: Double = 0, stopAfter: Int = .max, lossScale: LossScale? = nil,
    changing change: (Objective, any ParameterStore) -> Objective = { objective, _ in objective },
    adjusting adjust: (inout TrainerState) throws -> Void = { _ in }
  ) throws -> (outcome: Trainer.Outcome, events: [TrainingEvent], store: any ParameterStore) {
    let run = run ?? self.run
    let executor = try CPUExecutor(threads: threads)
    let store = try executor.makeParameters(
      try Transformer(settings.model).parameterLayout, training: true,
      moments: settings.train.precision == .bf16 ? .bf16 : .fp32)
    var state = TrainerState()
    state.lossScale = lossScale
    if let checkpoint {
      state = try Checkpoint.read(checkpoint, into: store)
    } else {
      try Initialization(settings.model).fill(store, seed: settings.train.seed)
    }
    try adjust(&state)
    try run.create()
    var events: [TrainingEvent] = []
    let objective = change(
      try Objective.nextToken(
        Dataset(path: folder.file("data")), settings, store: store, executor: executor, tokenizer: tokenizer,
        place: state.place), store)
    let trainer = try Trainer(
      settings, store: store, state: state, executor: executor, tokenizer: tokenizer, folder: run,
      objective: objective, usedBefore: usedBefore,
      startAnew: { try Initialization(settings.model).fill(store, seed: settings.train.seed) }
    ) { events.append($0) }
    let outcome = try trainer.run { trainer.state.step >= stopAfter }
    return (outcome, events, store)
  }

  private func newest(_ run: RunFolder) throws -> ModelFolder {
    try #require(run.newestCheckpoint { Issue.record("broken: \($0)") })
  }

  /// The last evaluation on record.
  private func lastEvaluation(_ run: RunFolder) throws -> JSON {
    try #require(try lines(of: run.metricsPath).last { $0["kind"] == "eval" })
  }

  /// What must not depend on how a run was made: everything but time, energy, and when processes began and ended.
  private func numbers(_ run: RunFolder) throws -> [String] {
    try lines(of: run.metricsPath).compactMap { line in
      if line["kind"] == "energy" || line["name"] == "started" || line["name"] == "finished" { return nil }
      var object = try #require(line.object)
      for key in ["elapsed_seconds", "tokens_per_second", "data_wait_seconds"] { object[key] = nil }
      return JSON.object(object).serialized()
    }
  }

  private func steps(_ events: [TrainingEvent]) -> [StepMetrics] {
    events.compactMap { if case .step(let metrics) = $0 { metrics } else { nil } }
  }

  @Test("learns what can be learned", arguments: ModelConfig.Architecture.decoders)
  func learns(architecture: ModelConfig.Architecture) throws {
    var settings = tinySettings(architecture)
    settings.train.steps = 60
    settings.train.learningRate = 2e-2
    let steps = steps(try train(settings).events)
    #expect(steps.count == 60)
    #expect(steps[0].loss > 3.3)
    #expect(steps[59].loss < 1)
    #expect(steps[59].accuracy > steps[0].accuracy)
    let eval = try lastEvaluation(run)
    #expect(eval["split"] == "val" && eval["step"] == 60)
    #expect((eval["loss"]?.double ?? 9) < 1)
    #expect(eval["tokens"] == 99)
  }

  @Test("records every update with the keys of the contract")
  func metrics() throws {
    let (outcome, events, _) = try train(tinySettings())
    #expect(outcome == .finished)
    let recorded = try lines(of: run.metricsPath).filter { $0["kind"] == "train" }
    #expect(recorded.compactMap { $0["step"]?.int } == Array(1...12))
    #expect(recorded.compactMap { $0["tokens"]?.int } == (1...12).map { $0 * 64 })
    for (line, metrics) in zip(recorded, steps(events)) {
      #expect(line["loss"]?.double == metrics.loss)
      #expect(line["grad_norm"]?.double == metrics.gradientNorm)
      #expect(line["learning_rate"]?.double == Double(metrics.learningRate))
      for key in ["tokens_per_second", "data_wait_seconds", "elapsed_seconds"] {
        #expect((line[key]?.double ?? -1) >= 0)
      }
    }
    let rates = steps(events).map(\.learningRate)
    #expect(rates[0] == 5e-3 && rates[1] == 1e-2)
    #expect(rates[11] == Float(Double(Float(1e-2)) * Double(Float(0.1))))
  }

  @Test("learns in halves what it learns in fp32", arguments: ModelConfig.Architecture.decoders)
  func halves(architecture: ModelConfig.Architecture) throws {
    func loss(_ precision: Precision) throws -> Double {
      var settings = tinySettings(architecture)
      settings.train.steps = 60
      settings.train.learningRate = 2e-2
      settings.train.precision = precision
      let run = RunFolder(folder.file("\(precision)"))
      try train(settings, in: run)
      return try #require(try lastEvaluation(run)["loss"]?.double)
    }
    let full = try loss(.fp32)
    for precision in [Precision.bf16, .fp16] { #expect(abs(try loss(precision) - full) < 0.05, "\(precision)") }
  }

  @Test("in fp16 skips updates that overflow, says so, and goes on; also across a resume", arguments: [2, 5, 30])
  func skips(stop: Int) throws {
    var settings = tinySettings()
    settings.train.precision = .fp16
    settings.train.steps = 60
    settings.train.learningRate = 2e-2
    let whole = RunFolder(folder.file("whole"))
    let scale = try #require(LossScale(value: 0x1p24, finiteUpdates: 0))
    let (_, events, store) = try train(settings, in: whole, threads: 2, lossScale: scale)

    let skipped = events.compactMap { if case .skipped(let step, _, _, _) = $0 { step } else { nil } }
    #expect(skipped.starts(with: [1, 2, 3]) && skipped.count < 20, "the scale halves until gradients fit")
    #expect(steps(events).map(\.step) == Array(1...60))
    #expect(steps(events).map(\.skippedUpdates) == (1...60).map { step in skipped.count { $0 <= step } })
    #expect(steps(events).map(\.gradientNorm.isFinite) == (1...60).map { !skipped.contains($0) })
    #expect(steps(events).allSatisfy { $0.loss.isFinite })
    let told = try lines(of: whole.metricsPath).filter { $0["name"] == "skipped_update" }
    #expect(told.allSatisfy { $0["kind"] == "event" })
    #expect(told.compactMap { $0["step"]?.int } == skipped)
    #expect(told.compactMap { $0["loss_scale"]?.double } == (1...skipped.count).map { 0x1p24 / pow(2, Double($0)) })
    #expect((try lastEvaluation(whole)["loss"]?.double ?? 9) < 1, "it learns nevertheless")

    let first = try train(settings, threads: 2, stopAfter: stop, lossScale: scale)
    #expect(first.outcome == .stopped)
    let second = try train(settings, from: newest(run))
    #expect(try numbers(run) == numbers(whole))
    for buffer in [ParameterBuffer.weights, .firstMoment, .secondMoment] {
      #expect(try second.store.bits(buffer) == store.bits(buffer))
    }
  }

  @Test("stopped and resumed gives the bits of one that wasn't", arguments: [1, 5, 11], Precision.allCases)
  func resumes(stop: Int, precision: Precision) throws {
    var settings = tinySettings(.qwen3)
    settings.train.precision = precision
    settings.model.dropout = 0.1
    settings.train.microBatchSize = 2
    settings.train.evalEvery = 4
    let whole = RunFolder(folder.file("whole"))
    let expected = try train(settings, in: whole, threads: 2)
    let first = try train(settings, stopAfter: stop)
    #expect(first.outcome == .stopped)
    #expect(run.linkedStep("latest") == stop)
    let second = try train(settings, from: newest(run))
    #expect(second.outcome == .finished)
    #expect(try numbers(run) == numbers(whole))
    for buffer in [ParameterBuffer.weights, .firstMoment, .secondMoment] {
      #expect(try second.store.bits(buffer) == expected.store.bits(buffer))
    }
  }

  @Test("whose batches grow doubles them for equal shares of its updates, also across a resume", arguments: [3, 6, 7])
  func grows(stop: Int) throws {
    var settings = tinySettings(.llama)
    settings.train.steps = 12
    settings.train.batchSize = 8
    settings.train.firstBatchSize = 2
    settings.model.dropout = 0.1
    let whole = RunFolder(folder.file("whole"))
    let expected = try train(settings, in: whole)
    let tokens = steps(expected.events).map(\.tokens)
    let rows = zip(tokens, [0] + tokens).map { ($0 - $1) / settings.train.context }
    #expect(rows == rows.sorted() && Set(rows) == [2, 4, 8])
    #expect(rows.count { $0 == 4 } == 4 && rows.count == 12)
    try train(settings, stopAfter: stop)
    let resumed = try train(settings, from: newest(run))
    #expect(try numbers(run) == numbers(whole))
    #expect(try resumed.store.bits(.weights) == expected.store.bits(.weights))
  }

  @Test("whose context grows sees less at first, and resumes as if it had not stopped", arguments: [3, 9])
  func contextGrows(stop: Int) throws {
    var settings = tinySettings(.llama)
    let plain = try train(settings, in: RunFolder(folder.file("plain")))
    settings.train.firstContext = settings.train.context / 4
    let whole = RunFolder(folder.file("whole"))
    let expected = try train(settings, in: whole)
    #expect(steps(expected.events)[0].loss != steps(plain.events)[0].loss)
    try train(settings, stopAfter: stop)
    let resumed = try train(settings, from: newest(run))
    #expect(try numbers(run) == numbers(whole))
    #expect(try resumed.store.bits(.weights) == expected.store.bits(.weights))
  }

  @Test("killed and resumed from its last checkpoint gives the same bits, and forgets what came after it")
  func killed() throws {
    var settings = tinySettings(.nanochat)
    settings.model.dropout = 0.2
    settings.train.checkpointEvery = 5
    settings.train.evalEvery = 3
    settings.train.keepCheckpoints = 9
    try train(settings)
    let expected = try numbers(run)
    #expect(run.checkpointSteps.contains(5))
    for step in run.checkpointSteps where step > 5 { try FileSystem.remove(run.checkpointPath(step: step)) }
    try train(settings, from: newest(run))
    #expect(try numbers(run) == expected)
  }

  @Test("writes a checkpoint again that was found broken")
  func brokenCheckpoint() throws {
    var settings = tinySettings()
    settings.train.checkpointEvery = 6
    try train(settings)
    let path = run.checkpointPath(step: 12) + "/model.safetensors"
    var bytes = try FileSystem.read(path)
    bytes[bytes.count - 1] ^= 1
    try Data(bytes).write(to: URL(fileURLWithPath: path))
    let checkpoint = try #require(run.newestCheckpoint { _ in })
    #expect(checkpoint.path == run.checkpointPath(step: 6))
    try train(settings, from: checkpoint)
    #expect(try newest(run).path == run.checkpointPath(step: 12))
    #expect(run.linkedStep("latest") == 12)
  }

  @Test("that is done is not trained further by a resume")
  func done() throws {
    let settings = tinySettings()
    try train(settings)
    let again = try train(settings, from: newest(run))
    #expect(again.outcome == .finished)
    #expect(steps(again.events).isEmpty)
    #expect(run.checkpointSteps == [12])
  }

  @Test("goes on to more steps, and the time it has used counts")
  func more() throws {
    var settings = tinySettings()
    settings.train.schedule = .constant
    try train(settings)
    settings.train.steps = 15
    let more = try train(settings, from: newest(run), usedBefore: 100)
    #expect(steps(more.events).map(\.step) == [13, 14, 15])
    #expect(steps(more.events).allSatisfy { $0.elapsed > 100 })
    #expect((MetricsLog.elapsed(path: run.metricsPath) ?? 0) > 100)
  }

  @Test("that ended with its warmup goes on at full rate and down from there")
  func moreThanWarmup() throws {
    var settings = tinySettings()
    settings.train.schedule = .linear
    settings.train.minLearningRateRatio = 0
    settings.train.warmupSteps = 12
    try train(settings)
    settings.train.steps = 24
    let rates = try steps(train(settings, from: newest(run)).events).map(\.learningRate)
    #expect(rates.first == settings.train.learningRate)
    #expect(rates.last == 0)
    #expect(zip(rates, rates.dropFirst()).allSatisfy { $0 > $1 })
  }

  @Test("goes back beyond where it was resumed only if something was wrong there", arguments: [true, false])
  func goesBackBeyondAResume(isWell: Bool) throws {
    var settings = tinySettings()
    settings.train.steps = 20
    settings.train.checkpointEvery = 10
    settings.train.schedule = .constant
    try train(settings)
    settings.train.steps = 40
    let (outcome, events, _) = try train(settings, from: newest(run)) { objective, store in
      Objective(source: Poison(objective.source, after: 0, store: store), trainTokens: 0, validation: nil)
    } adjusting: { state in
      var object = try #require(state.spikes.json.object)
      if !isWell { object["high_since"] = 20 }
      state.spikes = try #require(SpikeGuard(json: .object(object)))
    }
    #expect(outcome == .finished)
    let back = events.compactMap { if case .rolledBack(_, let to, _, _, _) = $0 { to } else { nil } }
    #expect(back == [isWell ? 20 : 10])
    #expect(run.linkedStep("latest") == 40)
  }

  @Test("that is stopped among skipped updates leaves weights that are numbers")
  func stoppedAmongSkipped() throws {
    var settings = tinySettings()
    settings.train.steps = 40
    settings.train.checkpointEvery = 10
    let stopped = try train(settings, stopAfter: 22) { objective, store in
      Objective(source: Poison(objective.source, after: 20, store: store), trainTokens: 0, validation: nil)
    }
    #expect(stopped.outcome == .stopped)
    #expect(run.linkedStep("latest") == 22)
    #expect(try train(settings, from: newest(run)).outcome == .finished)
  }

  @Test("tells where it begins and goes on, how large the weights are, and when it is done")
  func tells() throws {
    var settings = tinySettings()
    settings.train.evalEvery = 5
    let first = try train(settings, stopAfter: 7)
    #expect(first.outcome == .stopped)
    let second = try train(settings, from: newest(run))
    let recorded = try lines(of: run.metricsPath)
    let events = recorded.filter { $0["kind"] == "event" }
    #expect(events.compactMap { $0["name"]?.string } == ["started", "started", "finished"])
    #expect(events.compactMap { $0["step"]?.int } == [0, 7, 12])
    #expect(events[0]["parameters"]?.int == second.store.layout.parameterCount)
    let layers = recorded.filter { $0["kind"] == "layers" }
    #expect(layers.compactMap { $0["step"]?.int } == [5, 10, 12])
    let sizes = try LayerSize.all(of: second.store)
    #expect(sizes.map(\.name).prefix(3) == ["embedding", "positions", "layers.0"])
    for size in sizes { #expect(layers[2]["weight_rms"]?[size.name]?.double == size.rms) }
    let embedding = try second.store.read(.weights, try #require(second.store.layout["embedding"]))
    let squares = embedding.reduce(0) { $0 + Double($1) * Double($1) }
    #expect(abs(sizes[0].rms - (squares / Double(embedding.count)).squareRoot()) < 1e-12)
  }

  @Test("evaluates, saves and keeps as often as it is told")
  func rhythm() throws {
    var settings = tinySettings()
    settings.train.evalEvery = 5
    settings.train.checkpointEvery = 3
    settings.train.keepCheckpoints = 3
    let (_, events, _) = try train(settings)
    let evaluated = events.compactMap { if case .evaluated(let step, _, _, _) = $0 { step } else { nil } }
    #expect(evaluated == [5, 10, 12])
    let saved = Set(events.compactMap { if case .saved(let step, _) = $0 { step } else { nil } })
    #expect(saved.isSuperset(of: [3, 6, 9, 12]))
    #expect(run.checkpointSteps.suffix(3) == Array(saved.sorted().suffix(3)))
    #expect(run.linkedStep("latest") == 12)
    #expect(
      try lines(of: run.metricsPath).filter { $0["kind"] == "eval" }.compactMap { $0["step"]?.int } == [5, 10, 12])
  }

  @Test("calls best what was best, also when the last evaluation is worse")
  func best() throws {
    // What it learns is wrong for the validation split: at first hardly, then much.
    try writeShard(learnable(100).reversed(), to: folder.file("data/val-00000.bin"))
    var settings = tinySettings()
    settings.train.learningRate = 2e-2
    settings.train.steps = 40
    settings.train.evalEvery = 8
    settings.train.checkpointEvery = 8
    try train(settings)
    let losses = try lines(of: run.metricsPath).filter { $0["kind"] == "eval" }.compactMap { $0["loss"]?.double }
    #expect(losses.count == 5)
    let best = try #require(losses.indices.min { losses[$0] < losses[$1] })
    #expect(best < 4, "the test needs a run that gets worse")
    #expect(run.linkedStep("best") == (best + 1) * 8)
    #expect(run.linkedStep("latest") == 40)
  }

  @Test("without a validation split evaluates nothing, and its best is its latest")
  func noValidation() throws {
    try FileSystem.remove(folder.file("data/val-00000.bin"))
    var settings = tinySettings()
    settings.train.checkpointEvery = 4
    settings.train.evalEvery = 2
    try train(settings)
    #expect(try lines(of: run.metricsPath).allSatisfy { $0["kind"] != "eval" })
    #expect(run.linkedStep("best") == 12)
  }

  @Test("lets the model write where there is a tokenizer")
  func samples() throws {
    let tokenizer = try BPELearner(vocabularySize: 257).learn(from: WordCounts(pattern: .gpt2))
    var settings = tinySettings(.llama, vocabularySize: 257)
    settings.train.evalEvery = 10
    let (_, events, store) = try train(settings, tokenizer: tokenizer)
    let sampled = events.compactMap { if case .sampled(let step, _) = $0 { step } else { nil } }
    #expect(sampled == [10, 12])
    // With the weights as they were then.
    let sampler = try Sampler(
      Transformer(settings.model), settings: settings, weights: store, executor: CPUExecutor(threads: 1),
      tokenizer: tokenizer)
    let text = events.compactMap { if case .sampled(_, let text) = $0 { text } else { nil } }.last
    #expect(try sampler?.text() == text)
    #expect(text?.isEmpty == false)
    #expect(try FileSystem.names(in: run.samplesPath).sorted() == ["step-00000010.txt", "step-00000012.txt"])
    #expect(try newest(run).tokenizer()?.vocabularySize == 257)
    #expect(try lastEvaluation(run)["bits_per_byte"]?.double != nil)
  }

  @Test(
    "that diverges again and again ends with an error, and leaves no checkpoint of it", arguments: Precision.allCases)
  func diverges(precision: Precision) throws {
    var settings = tinySettings()
    settings.train.precision = precision
    settings.train.learningRate = 1e30
    settings.train.warmupSteps = 0
    settings.train.checkpointEvery = 1
    settings.train.maxRollbacks = 2
    let error = thrown { try train(settings) } as? TrainingError
    guard case .diverged(let step, _, let rollbacks, let checkpoint) = error else {
      Issue.record("\(String(describing: error))")
      return
    }
    #expect((6...12).contains(step))
    #expect(rollbacks == 2)
    #expect(checkpoint == nil)
    #expect(error?.exitCode == 1)
    #expect(error?.description.contains("train.learning_rate") == true)
    #expect(run.checkpointSteps.isEmpty)
    #expect(run.linkedStep("latest") == nil)
    #expect(try lines(of: run.metricsPath).count { $0["name"] == "rolled_back" } == 2)
  }

  @Test("goes back where numbers end, and on at half the rate with other rows", arguments: [false, true])
  func goesBack(hasCheckpoint: Bool) throws {
    var settings = tinySettings()
    settings.train.steps = 40
    settings.train.schedule = .constant
    if hasCheckpoint { settings.train.checkpointEvery = 10 }
    let step = hasCheckpoint ? 24 : 7
    var made: Poison?
    let (outcome, events, store) = try train(settings) { objective, store in
      let poison = Poison(objective.source, after: step, store: store)
      made = poison
      return Objective(source: poison, trainTokens: 0, validation: objective.validation)
    }
    #expect(outcome == .finished)
    let back = events.compactMap {
      if case .rolledBack(let from, let to, _, let count, _) = $0 { (from, to, count) } else { nil }
    }
    #expect(back.count == 1)
    #expect(back.first?.0 == step + 5)
    #expect(back.first?.1 == (hasCheckpoint ? 20 : 0))
    #expect(made?.places == [DataPlace(row: hasCheckpoint ? 80 : 0, order: 1)])
    #expect(try store.bits().joined().allSatisfy { Float(bitPattern: $0).isFinite })
    // The file tells of each step once, as a resume leaves it.
    let train = try lines(of: run.metricsPath).filter { $0["kind"] == "train" }
    #expect(train.compactMap { $0["step"]?.int } == Array(1...40))
    #expect(train.last?["learning_rate"]?.double == Double(settings.train.learningRate / 2))
    #expect(run.linkedStep("latest") == 40)
    #expect(try Checkpoint.state(of: newest(run)).rollbacks == 1)
  }

  @Test("on a budget ends with the schedule at its end")
  func budget() throws {
    var settings = tinySettings()
    settings.train.steps = nil
    settings.train.budget = 1.6
    // In the thousands of updates that fit into it a high rate would diverge now and then, and be lowered.
    settings.train.learningRate = 1e-3
    let (outcome, events, _) = try train(settings)
    #expect(outcome == .finished)
    let steps = steps(events)
    #expect(steps.last?.progress == 1)
    #expect(steps.last?.learningRate == Float(Double(Float(1e-3)) * Double(Float(0.1))))
    #expect(steps.count > 10)
    #expect(try lastEvaluation(run)["step"]?.int == steps.count)
    #expect(run.linkedStep("latest") == steps.count)
    // Nothing is left of it for a resume.
    let again = try train(settings, from: newest(run), usedBefore: 1.6)
    #expect(self.steps(again.events).isEmpty)
  }

  @Test("on a budget samples now and then, also where there is nothing to evaluate")
  func budgetWithoutValidation() throws {
    try FileSystem.remove(folder.file("data/val-00000.bin"))
    let tokenizer = try BPELearner(vocabularySize: 257).learn(from: WordCounts(pattern: .gpt2))
    var settings = tinySettings(vocabularySize: 257)
    settings.train.steps = nil
    settings.train.budget = 1.3
    let (_, events, _) = try train(settings, tokenizer: tokenizer)
    let sampled = events.count { if case .sampled = $0 { true } else { false } }
    #expect((1...12).contains(sampled))
    #expect(steps(events).count > sampled)
  }

  @Test("with too few tokens for one row is an error that says so")
  func tooShort() throws {
    try FileSystem.remove(folder.file("data/train-00001.bin"))
    try writeShard(learnable(16), to: folder.file("data/train-00000.bin"))
    let error = thrown { try train(tinySettings()) }
    #expect(error?.exitCode == 65)
    #expect(error?.description.contains("17") == true)
  }

  @Test("records what has happened before data fails", arguments: [0, 1 << 20])
  func failingData(cache: Int) throws {
    var settings = tinySettings()
    settings.data.order = .sequential
    settings.data.cache = cache
    settings.data.prefetch = 1
    settings.train.steps = 2000
    // The file shrinks behind the trainer's back: an error, never a signal.
    let path = folder.file("data/train-00000.bin")
    var hasShrunk = false
    let executor = try CPUExecutor(threads: 1)
    let store = try executor.makeParameters(try Transformer(settings.model).parameterLayout, training: true)
    try Initialization(settings.model).fill(store, seed: 1)
    try run.create()
    let objective = try Objective.nextToken(
      Dataset(path: folder.file("data")), settings, store: store, executor: executor, tokenizer: nil, place: DataPlace()
    )
    let trainer = try Trainer(
      settings, store: store, state: TrainerState(), executor: executor, tokenizer: nil, folder: run,
      objective: objective, usedBefore: 0, startAnew: {}
    ) { _ in }
    let error = thrown {
      _ = try trainer.run {
        if trainer.state.step == 3, !hasShrunk {
          hasShrunk = true
          truncate(path, 1100)
        }
        // With the shards in memory nothing is read again.
        return cache > 0 && trainer.state.step == 40
      }
    }
    #expect((error == nil) == (cache > 0))
    if cache == 0 {
      #expect(error?.description.contains("train-00000.bin") == true)
      #expect(try lines(of: run.metricsPath).filter { $0["kind"] == "train" }.count == trainer.state.step)
      // What was learned until then isn't lost.
      #expect(run.linkedStep("latest") == trainer.state.step)
    }
  }
}
