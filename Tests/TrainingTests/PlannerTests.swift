import Compute
import ComputeCPU
import Corpus
import Formats
import Foundation
import Models
import TestSupport
import Testing
import Training

@Suite("The scaling law")
struct ScalingLawTests {
  static let difficulty = TextDifficulty(points: [(1 << 16, 7), (1 << 18, 6), (1 << 20, 5.5)])

  private func bits(
    parameters: Int = 1_000_000, tokens: Double = 1e6, batchTokens: Int = 1024, trainTokens: Int = 10_000_000
  ) -> Double {
    ScalingLaw(Self.difficulty, trainTokens: trainTokens).bitsPerToken(
      parameters: parameters, tokens: tokens, batchTokens: batchTokens)
  }

  @Test("promises less loss of more parameters, more tokens and smaller batches")
  func direction() {
    #expect(bits(parameters: 2_000_000) < bits())
    #expect(bits(tokens: 2e6) < bits())
    #expect(bits(batchTokens: 512) < bits())
  }

  @Test("takes repeated tokens for less than new ones, and for nothing at last")
  func repetition() {
    #expect(ScalingLaw.usefulTokens(5, of: 10) == 5)
    #expect(ScalingLaw.usefulTokens(10, of: 10) == 10)
    // The second pass is worth less than two thirds of the first, a hundred no more than ten.
    #expect((16.0...18).contains(ScalingLaw.usefulTokens(20, of: 10)))
    #expect(ScalingLaw.usefulTokens(1000, of: 10) < 1.05 * ScalingLaw.usefulTokens(100, of: 10))
    #expect(bits(tokens: 2e6, trainTokens: 500_000) > bits(tokens: 2e6))
  }

  @Test("promises nothing of parameters that a text has no use for")
  func largeModel() {
    #expect(bits(parameters: 4_000_000, trainTokens: 500_000) < bits(parameters: 2_000_000, trainTokens: 500_000))
    #expect(bits(parameters: 50_000_000, trainTokens: 500_000) == bits(parameters: 5_000_000, trainTokens: 500_000))
  }

  @Test("expects more of models, and more of large ones, where more text still tells the counting model much")
  func steepness() {
    let flat = TextDifficulty(points: [(1 << 16, 5.6), (1 << 18, 5.5), (1 << 20, 5.4)])
    func gain(_ difficulty: TextDifficulty) -> (overCounting: Double, ofLarge: Double) {
      let law = ScalingLaw(difficulty, trainTokens: 10_000_000)
      let large = law.bitsPerToken(parameters: 8_000_000, tokens: 1e7, batchTokens: 1024)
      let small = law.bitsPerToken(parameters: 1_000_000, tokens: 1e7, batchTokens: 1024)
      return (difficulty.bitsPerToken(tokens: 1e7) / large, small / large)
    }
    #expect(gain(Self.difficulty).overCounting > gain(flat).overCounting)
    #expect(gain(Self.difficulty).ofLarge > gain(flat).ofLarge)

    let power = TextDifficulty(points: [(1 << 16, 8), (1 << 18, 7), (1 << 20, 6.125)])
    #expect(abs(power.steepness(tokens: Double(1 << 20)) - log(8 / 7) / log(4)) < 1e-9)
    #expect(power.steepness(tokens: Double(1 << 30)) < power.steepness(tokens: Double(1 << 20)))
    // A text that counting learns nothing of, or that is too short to tell.
    for points in [[(1 << 16, 5), (1 << 18, 5)], [(1 << 16, 5), (1 << 18, 6)], [(5, 3)], []] as [[(Int, Double)]] {
      let text = TextDifficulty(points: points.map { (tokens: $0.0, bitsPerToken: $0.1) })
      #expect(text.steepness(tokens: 1e6) == 0.01)
    }
  }

  @Test("goes through what was counted, and on as it went before")
  func interpolation() {
    for (tokens, bits) in Self.difficulty.points {
      #expect(abs(Self.difficulty.bitsPerToken(tokens: Double(tokens)) - bits) < 1e-9)
    }
    #expect((5.5..<6).contains(Self.difficulty.bitsPerToken(tokens: Double(1 << 19))))
    #expect((5.0..<5.5).contains(Self.difficulty.bitsPerToken(tokens: Double(1 << 22))))
    #expect((7.0..<10).contains(Self.difficulty.bitsPerToken(tokens: Double(1 << 14))))
    #expect(TextDifficulty(points: []).bitsPerToken(tokens: 10) > 0)
    #expect(TextDifficulty(points: [(5, 3)]).bitsPerToken(tokens: 10) == 3)
  }
}

@Suite("A text's difficulty")
struct TextDifficultyTests {
  private let folder: TemporaryFolder

  init() throws {
    folder = try TemporaryFolder()
    try FileSystem.createFolder(folder.file("data"))
    try writeShard(learnable(1_500_000), to: folder.file("data/train-00000.bin"))
    try writeShard(learnable(800_000, from: 3), to: folder.file("data/train-00001.bin"))
    try writeShard(learnable(3000, from: 5), to: folder.file("data/val-00000.bin"))
  }

  @Test(
    "is found from three samples at least, and from more of the text where there is time", arguments: [0, .infinity])
  func samples(limit: Double) throws {
    let difficulty = try TextDifficulty(Dataset(path: folder.file("data")), vocabularySize: 37, seconds: limit)
    let tokens = difficulty.points.map(\.tokens)
    #expect(tokens.count == (limit > 0 ? 4 : 3))
    for (found, expected) in zip(tokens, [1 << 16, 1 << 18, 1 << 20, 1 << 21]) {
      // Whole pieces, and the last of a shard may be short.
      #expect(abs(found - expected) <= 2 * 512)
    }
    #expect(difficulty.points.allSatisfy { $0.bitsPerToken > 0 && $0.bitsPerToken < log2(37) })
  }
}

@Suite("A counting model")
struct NGramModelTests {
  private static func bits(of text: [Int32], counted: [Int32], vocabularySize: Int) -> Double {
    var model = NGramModel(of: text, vocabularySize: vocabularySize)
    model.count(counted)
    return model.bitsPerToken
  }

  @Test("finds what follows from up to three tokens before, and no more")
  func finds() {
    var chance = PhiloxGenerator(seed: 1)
    let random = (0..<20_000).map { _ in Int32(chance.next() % 16) }
    let cycle = (0..<20_000).map { Int32($0 % 7) }
    func bits(_ tokens: [Int32]) -> Double {
      Self.bits(of: Array(tokens.suffix(2000)), counted: Array(tokens.prefix(18_000)), vocabularySize: 16)
    }
    #expect(bits(cycle) < 0.01)
    // 4 bits are all that there is.
    #expect((3.99...5).contains(bits(random)))
  }

  @Test("gives probabilities that add up to one")
  func sums() {
    let counted: [Int32] = [0, 1, 2, 0, 1, 3, 0, 1, 2, 2]
    for history in [[], [0], [0, 1], [3, 3, 3], [2, 0, 1]] as [[Int32]] {
      let before = Self.bits(of: history, counted: counted, vocabularySize: 5) * Double(history.count)
      let all = (0..<5).map { next -> Double in
        let text = history + [Int32(next)]
        return exp2(
          before - Self.bits(of: text, counted: counted, vocabularySize: 5) * Double(text.count))
      }
      #expect(abs(all.reduce(0, +) - 1) < 1e-9)
    }
  }

  @Test("takes nothing for a text")
  func empty() {
    #expect(Self.bits(of: [], counted: [1, 2], vocabularySize: 5) == 0)
    #expect(abs(Self.bits(of: [1, 2], counted: [], vocabularySize: 4) - 2) < 1e-9)
  }
}

@Suite("Times of updates by width")
struct WidthTimesTests {
  private func time(_ perToken: Double, fixed: Double = 0.001) -> StepTime {
    StepTime(fixed: fixed, perToken: perToken, isMeasured: true)
  }

  @Test("are reckoned by the speed of the neighbours that were measured")
  func between() throws {
    var times = WidthTimes([1, 10, 100, 1000].map { WidthTimes.Work(flops: $0, parameters: $0) })
    #expect(times[0] == nil && times[3] == nil)
    times.record(time(1), at: 0)
    // Nothing else is known: as fast as the smaller one.
    #expect(times[2]?.perToken == 100 && times[2]?.isMeasured == false)
    // A hundred times the work at a hundred times the speed.
    times.record(time(1, fixed: 0.003), at: 2)
    #expect(times.isMeasured(2) && !times.isMeasured(1))
    let middle = try #require(times[1])
    #expect(abs(middle.perToken - 1) < 1e-9 && abs(middle.fixed - 0.002) < 1e-9 && !middle.isMeasured)
    #expect(times[3]?.perToken == 10)
  }
}

@Suite("Planning a budget", .serialized)
struct PlannerTests {
  private func plan(
    budget: Double, trainTokens: Int = 2_000_000, _ assignments: [String] = []
  ) throws -> Planner.Plan {
    var overrides = SettingOverrides()
    for assignment in assignments { try overrides.add(assignment: assignment) }
    return try Planner(
      executor: CPUExecutor(threads: 1), law: ScalingLaw(ScalingLawTests.difficulty, trainTokens: trainTokens),
      overrides: overrides, tokens: 256
    ).plan(budget: budget)
  }

  @Test("chooses the candidate of the lowest loss, and a larger model for more time and text")
  func choice() throws {
    let short = try plan(budget: 20)
    // Of those that the law can't tell apart the smallest.
    let best = try #require(short.candidates.map(\.bitsPerToken).min())
    #expect(short.chosen.bitsPerToken <= 1.002 * best)
    let widths = short.candidates.map(\.settings.model.hiddenSize)
    #expect(widths == widths.sorted())
    let smaller = short.candidates.prefix { $0.preset != short.chosen.preset }
    #expect(smaller.allSatisfy { $0.bitsPerToken > 1.002 * best })
    #expect(short.batches.contains { $0.preset == short.chosen.preset })
    #expect(short.candidates[0].isMeasured)
    // So much more that a busy machine makes no difference.
    let long = try plan(budget: 1000 * 20, trainTokens: 500_000_000)
    #expect(long.chosen.parameters > short.chosen.parameters)
    #expect(long.chosen.bitsPerToken < short.chosen.bitsPerToken)
  }

  @Test("leaves what was asked for as it is")
  func asked() throws {
    let batch = try plan(budget: 20, ["train.batch_size=6", "train.context=32"])
    #expect(batch.candidates.allSatisfy { $0.settings.train.batchSize == 6 && $0.settings.train.context == 32 })
    let model = try plan(
      budget: 20, ["model.hidden_size=48", "model.num_hidden_layers=2", "model.num_attention_heads=2"])
    #expect(model.candidates.count == 1 && model.chosen.settings.model.hiddenSize == 48)
  }

  @Test("measures for a small part of the budget")
  func calibration() throws {
    let plan = try plan(budget: 200)
    #expect(plan.calibrationSeconds < 0.04 * 200)
  }

  @Test("protects a model from a text that it reads many times, where nothing else was asked for")
  func smallText() throws {
    let large = try plan(budget: 20, trainTokens: 50_000_000)
    #expect(large.chosen.settings.model.dropout == 0 && large.chosen.settings.train.patience == 0)
    let small = try plan(budget: 20, trainTokens: 2000)
    #expect(small.chosen.settings.model.dropout > 0 && small.chosen.settings.data.bpeDropout > 0)
    #expect(small.chosen.settings.train.patience > 0)
    #expect(small.candidates.contains { $0.preset == small.chosen.preset })
    let asked = try plan(budget: 20, trainTokens: 2000, ["model.dropout=0", "train.patience=0"])
    #expect(asked.chosen.settings.model.dropout == 0 && asked.chosen.settings.train.patience == 0)
    #expect(asked.chosen.settings.data.bpeDropout > 0)
    #expect(
      asked.protections.map(\.key) == ["data.bpe_dropout", "train.weight_decay"], "what was asked for is no addition")
  }

  @Test("takes the architecture that learns more from few tokens where the run or its text is short")
  func fewTokens() throws {
    let short = try plan(budget: 20)
    #expect(short.chosen.tokens < FewTokens.limit && short.chosen.settings.model.architecture == .mayfly)
    #expect(short.readsFewTokens && short.additions.contains { $0.key == "model.architecture" })
    let often = try plan(budget: 2000, trainTokens: 20_000)
    #expect(often.chosen.tokens > FewTokens.limit && often.readsFewTokens)
    let asked = try plan(budget: 20, ["model.architecture=nanochat"])
    #expect(asked.chosen.settings.model.architecture == .nanochat && !asked.readsFewTokens)
    #expect(FewTokens.settings(tokens: 1e9).isEmpty)
  }

  @Test("has a candidate for a budget in which nothing can be learned")
  func nothing() throws {
    let plan = try plan(budget: 0.001)
    #expect(plan.chosen.updates >= 1 && plan.chosen.bitsPerToken.isFinite)
  }
}

@Suite("Protections of a small text")
struct SmallTextTests {
  private func settings(
    passes: Double, parameters: Int = 800_000, trainTokens: Double = 300_000, cutsAnew: Bool = true
  ) -> [String: Double] {
    let settings = SmallText.settings(
      passes: passes, parameters: parameters, trainTokens: trainTokens, cutsAnew: cutsAnew)
    return Dictionary(uniqueKeysWithValues: settings.compactMap { each in Double(each.value).map { (each.key, $0) } })
  }

  @Test("grow with the passes, up to a bound, and weight decay comes last")
  func passes() throws {
    #expect(settings(passes: 4).isEmpty)
    let some = settings(passes: 12), more = settings(passes: 30)
    #expect(some["model.dropout"] != nil && some["train.patience"] != nil && some["train.weight_decay"] == nil)
    for key in ["model.dropout", "data.bpe_dropout"] { #expect(try #require(more[key]) > #require(some[key])) }
    #expect(try #require(more["train.weight_decay"]) > 0.1)
    #expect(settings(passes: 1e3) == settings(passes: 1e9))
  }

  @Test("are stronger for larger models and smaller texts")
  func sizes() throws {
    func dropout(_ settings: [String: Double]) throws -> Double { try #require(settings["model.dropout"]) }
    let usual = try dropout(settings(passes: 20))
    #expect(try dropout(settings(passes: 20, parameters: 3_000_000)) > usual)
    #expect(try dropout(settings(passes: 20, trainTokens: 200_000)) > usual)
  }

  @Test("leave a text alone that is read once, and words that can't be cut anew")
  func none() {
    #expect(settings(passes: 1, parameters: 1_000_000_000, trainTokens: 1000).isEmpty)
    #expect(settings(passes: 100, cutsAnew: false)["data.bpe_dropout"] == nil)
  }
}

@Suite("The gradients' noise")
struct GradientNoiseTests {
  /// Rows of a cycle of tokens, a share of which chance replaces.
  private final class NoisyCycle: BatchSource {
    private var chance = PhiloxGenerator(seed: 1)
    private let noise: Double

    init(noise: Double) { self.noise = noise }

    var mask: MaskKind { .causal }
    var dataWaitSeconds: Double { 0 }
    func move(to place: DataPlace) throws {}

    func next(_ batch: TokenBatch) throws {
      for row in 0..<batch.rows {
        let start = Int.random(in: 0..<16, using: &chance)
        let tokens = (0...batch.time).map { place -> Int32 in
          let isNoise = Double.random(in: 0..<1, using: &chance) < noise
          return Int32(isNoise ? Int.random(in: 0..<16, using: &chance) : (start + place) % 16)
        }
        for place in 0..<batch.time {
          batch.ids[row * batch.time + place] = tokens[place]
          batch.targets[row * batch.time + place] = tokens[place + 1]
        }
      }
    }
  }

  @Test("is larger where chance is larger, once what can be learned is")
  func scale() throws {
    func measured(_ noise: Double) throws -> Double {
      var overrides = SettingOverrides()
      for assignment in ["train.context=16", "model.hidden_size=32", "model.num_attention_heads=1"] {
        try overrides.add(assignment: assignment)
      }
      let settings = try Settings.resolve(
        preset: .decoder(width: 64, batchSize: 4), overrides: overrides, initial: nil, tokens: 16)
      let found = try GradientNoise.measure(
        settings, source: NoisyCycle(noise: noise), executor: CPUExecutor(threads: 1), seconds: 0)
      return try #require(found).scale
    }
    let (quiet, loud) = try (measured(0.05), measured(0.6))
    #expect(quiet > 0 && loud > 2 * quiet, "\(quiet), \(loud)")
  }
}

@Suite("Trying passes", .serialized)
struct PassTrialsTests {
  private func trials(batch: Int, seconds: Double = .infinity) throws -> PassTrials {
    var overrides = SettingOverrides()
    for assignment in ["train.context=16", "model.hidden_size=32", "model.num_attention_heads=1"] {
      try overrides.add(assignment: assignment)
    }
    let settings = try Settings.resolve(
      preset: .decoder(width: 64, batchSize: batch), overrides: overrides, initial: nil, tokens: 16)
    return try PassTrials(settings, fixed: 0, executor: CPUExecutor(threads: 1), seconds: seconds)
  }

  @Test("doubles the rows as far as they divide the update", arguments: [1, 6, 64])
  func doubling(batch: Int) throws {
    let found = try trials(batch: batch)
    #expect(found.isComplete)
    for (index, trial) in found.trials.enumerated() {
      #expect(trial.rows == 1 << index && batch.isMultiple(of: trial.rows) && trial.tokensPerSecond > 0)
    }
    let rows = try #require(found.chosenRows)
    let chosen = try #require(found.trials.first { $0.rows == rows })
    #expect(found.trials.allSatisfy { chosen.tokensPerSecond >= 0.97 * $0.tokensPerSecond })
  }

  @Test("chooses nothing where there was no time to try")
  func noTime() throws {
    let found = try trials(batch: 64, seconds: 0)
    #expect(!found.isComplete && found.chosenRows == nil)
  }
}
