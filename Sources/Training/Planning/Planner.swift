package import Compute
import Formats
import Foundation
package import Models

/// Chooses a model and a batch for a time budget: those of the lowest loss when the time is over, as far as that can be told,
/// by a scaling law and by updates measured on the machine at hand.
package struct Planner {
  package struct Candidate: Sendable {
    package let preset: Preset
    package fileprivate(set) var settings: Settings
    package let parameters: Int
    /// Those of the layers' matrices.
    fileprivate let matrixParameters: Int
    package let time: StepTime
    package let updates: Int
    package var tokens: Double { Double(updates * batchTokens) }
    /// Seconds of one update.
    package var updateSeconds: Double { time.seconds(tokens: batchTokens) }
    package var isMeasured: Bool { time.isMeasured }
    package var batchTokens: Int { settings.train.batchSize * settings.train.context }
    /// How often each token of the text is read.
    package let passes: Double
    /// Whether the text has no use for so many parameters.
    package let exceedsText: Bool
    /// Bytes that training takes, where the device computes: weights, optimizer state, programs, and in main memory all
    /// else that the process holds. Nil: not found yet.
    package fileprivate(set) var memory: Int?
    /// Of the validation split when the time is over, as the law has it.
    package let bitsPerToken: Double
  }

  /// The best batch of each width, smallest width first.
  package struct Plan: Sendable {
    package let candidates: [Candidate]
    package let chosen: Candidate
    /// What keeps the chosen one from learning a small text by heart (``SmallText``), as far as nothing else was asked for.
    package let protections: [SettingOverrides.Assignment]
    /// Whether the chosen one has the architecture that learns more from few tokens (``FewTokens``).
    package let readsFewTokens: Bool
    /// Settings of the chosen one that neither its preset has nor anybody asked for: these, and the rows of a pass.
    package let additions: [SettingOverrides.Assignment]
    /// All batches of the chosen width, without their memory.
    package let batches: [Candidate]
    /// Seconds that measuring took.
    package let calibrationSeconds: Double
  }

  /// The share of a budget in which the machine is measured, and seconds that are enough for any.
  private static let calibrationShare = 0.015
  private static let mostCalibration = 30.0
  /// What one measurement may take of the budget, where the context makes an update long.
  private static let longestMeasurement = 0.1
  /// The share of a budget that is left for updates when evaluations, samples and checkpoints are paid.
  private static let trainingShare = 0.93
  /// Losses up to so many times the best are as good.
  private static let alike = 1.002
  /// With fewer updates than these no schedule is one.
  private static let leastUpdates = 60

  private let executor: any Executor
  private let law: ScalingLaw
  private let overrides: SettingOverrides
  private let tokens: Int?
  /// Bytes of the text that training keeps in memory.
  private let dataBytes: Int
  private let cutsAnew: Bool

  /// - Parameters:
  ///   - overrides: what was asked for and is not to be chosen.
  ///   - tokens: the data's vocabulary; nil: `overrides` say it.
  ///   - dataBytes: of the text that training keeps in memory.
  ///   - cutsAnew: whether words of the text can be cut into other tokens.
  package init(
    executor: any Executor, law: ScalingLaw, overrides: SettingOverrides, tokens: Int?, dataBytes: Int = 0,
    cutsAnew: Bool = true
  ) {
    self.executor = executor
    self.law = law
    self.overrides = overrides
    self.tokens = tokens
    self.dataBytes = dataBytes
    self.cutsAnew = cutsAnew
  }

  private func resolve(_ preset: Preset, adding additions: [SettingOverrides.Assignment] = []) throws -> Settings {
    try Settings.resolve(preset: preset, overrides: overrides.adding(additions), initial: nil, tokens: tokens)
  }

  private var choosesBatch: Bool { overrides["train.batch_size"] == nil }

  /// - Parameter budget: seconds.
  /// - Throws: ``ComputeError``, ``SettingsError``.
  package func plan(budget: Double) throws -> Plan {
    let start = ContinuousClock.now
    func elapsed() -> Double { seconds(ContinuousClock.now - start) }
    func left() -> Double { Self.calibrationTime(budget) - elapsed() }
    let ladder = try measuredLadder(budget: budget, left: left)
    let candidates = ladder.compactMap { $0.min { $0.bitsPerToken < $1.bitsPerToken } }
    guard let choice = Self.choice(of: candidates.map(\.bitsPerToken)) else {
      preconditionFailure("no width to choose from")
    }
    var chosen = candidates[choice]
    let protections = SmallText.settings(
      passes: chosen.passes, parameters: chosen.matrixParameters, trainTokens: law.trainTokens, cutsAnew: cutsAnew
    ).filter { overrides[$0.key] == nil }
    let newTokens = min(chosen.tokens, law.trainTokens)
    let forFewTokens = FewTokens.settings(tokens: newTokens).filter { overrides[$0.key] == nil }
    let canChoosePasses = choosesBatch && overrides["train.micro_batch_size"] == nil
    let passRows = canChoosePasses ? try passTrials(of: chosen, seconds: left()).chosenRows : nil
    let additions = forFewTokens + protections + (passRows.map { [("train.micro_batch_size", "\($0)")] } ?? [])
    chosen.settings = try resolve(chosen.preset, adding: additions)
    chosen = try withMemory(chosen)
    return Plan(
      candidates: try candidates.map { candidate in
        if candidate.preset == chosen.preset { return chosen }
        // A GPU's memory is found by taking it, which lasts.
        return executor.plannedBytes == nil ? try withMemory(candidate) : candidate
      }, chosen: chosen,
      protections: protections, readsFewTokens: !forFewTokens.isEmpty, additions: additions,
      batches: ladder.first { $0.contains { $0.preset == chosen.preset } } ?? [], calibrationSeconds: elapsed())
  }

  /// A width that the budget may choose.
  private struct Width {
    let width: Int
    let settings: Settings
    let layout: TensorLayout
    let work: WidthTimes.Work
  }

  private func widths() throws -> [Width] {
    var widths: [Width] = []
    for width in Preset.decoderWidths {
      let settings = try resolve(.decoder(width: width))
      // What was asked for may leave no choice of a width.
      if let before = widths.last, before.settings.model == settings.model { break }
      let model = try Transformer(settings.model)
      let program = try model.lossProgram(batch: 1, time: settings.train.context, training: true)
      let layout = model.parameterLayout
      widths.append(
        Width(
          width: width, settings: settings, layout: layout,
          work: WidthTimes.Work(
            flops: program.program.flops / Double(settings.train.context), parameters: Double(layout.parameterCount))))
    }
    return widths
  }

  /// The possible batches of each width, up to some beyond the best one.
  ///
  /// The smallest width is measured; where there is time enough, some far apart, as small models tell little of how fast a
  /// machine is at large ones; then the best so far, until that is measured.
  ///
  /// - Parameter left: the seconds that there still are for measuring.
  private func measuredLadder(budget: Double, left: () -> Double) throws -> [[Candidate]] {
    var widths = try widths()
    var times = WidthTimes(widths.map(\.work))
    /// Seconds of a measurement beside its updates: making a model and its programs.
    var making = Double.infinity
    func measure(_ index: Int, share: Double = 1) throws -> Bool {
      guard !times.isMeasured(index) else { return true }
      let settings = widths[index].settings
      let expected = times[index]?.measuringSeconds(context: settings.train.context)
      if let expected, expected + making > share * left() { return false }
      let before = left()
      do {
        let time = try StepTime.measure(settings, executor: executor, most: Self.longestMeasurement * budget)
        making = min(making, max(0, before - left() - time.measuringSeconds(context: settings.train.context)))
        times.record(time, at: index)
      } catch ComputeError.outOfMemory where index > 0 {
        widths.removeSubrange(index...)
        return false
      }
      return true
    }
    func bestBits(_ index: Int) throws -> Double {
      try candidates(widths[index], times[index], budget).bits
    }
    _ = try measure(0)
    var last = try bestBits(0)
    for index in stride(from: 4, to: widths.count, by: 4) {
      guard try measure(index, share: 1.0 / 3) else { break }
      let bits = try bestBits(index)
      if bits > last { break }
      last = bits
    }
    while true {
      let ladder = try ladder(widths, times, budget)
      let choice = Self.choice(of: ladder.map(\.bits)) ?? 0
      if times.isMeasured(choice) { return ladder }
      let count = widths.count
      // Without time for it the ladder stays as reckoned; without memory for it it has become shorter.
      if try !measure(choice), widths.count == count { return ladder }
    }
  }

  /// The width to take, of losses by width: the smallest of those that the law can't tell from the best, as that is also the
  /// fastest when it is used.
  private static func choice(of bits: [Double]) -> Int? {
    let best = bits.min() ?? .infinity
    return bits.firstIndex { $0 <= alike * best }
  }

  /// Of the widths that have been or can be reckoned.
  private func ladder(_ widths: [Width], _ times: WidthTimes, _ budget: Double) throws -> [[Candidate]] {
    var ladder: [[Candidate]] = []
    for (index, width) in widths.enumerated() {
      let candidates = try candidates(width, times[index], budget)
      let possible = candidates.filter { $0.updates >= Self.leastUpdates }
      if possible.isEmpty, !ladder.isEmpty { break }
      ladder.append(possible.isEmpty ? Array(candidates.prefix(1)) : possible)
      if isPastBest(ladder) { break }
    }
    return ladder
  }

  private func candidates(_ width: Width, _ time: StepTime?, _ budget: Double) throws -> [Candidate] {
    guard let time else { return [] }
    return try batches(of: width.width, in: width.settings).map {
      candidate($0.preset, $0.settings, width.layout, time, budget)
    }
  }

  /// What passes of which size are worth on this machine.
  ///
  /// - Parameter limit: seconds that there are for it.
  /// - Throws: ``ComputeError``.
  package func passTrials(of candidate: Candidate, seconds limit: Double) throws -> PassTrials {
    try PassTrials(candidate.settings, fixed: candidate.time.fixed, executor: executor, seconds: limit)
  }

  private static func calibrationTime(_ budget: Double) -> Double {
    min(calibrationShare * budget, mostCalibration)
  }

  /// A vocabulary for the largest model that a budget can train, before the text is known.
  ///
  /// - Parameter budget: seconds.
  /// - Throws: ``ComputeError``.
  package static func vocabularySize(budget: Double, executor: any Executor) throws -> Int {
    let settings = try Settings.resolve(
      preset: .decoder(width: 64), overrides: SettingOverrides(), initial: nil, tokens: 1024)
    let model = try Transformer(settings.model)
    let program = try model.lossProgram(batch: 1, time: settings.train.context, training: true).program
    let time = try StepTime.measure(settings, executor: executor)
    let flops = budget * program.flops / Double(settings.train.context) / time.perToken
    // 6·N·D of work, D = 20·N: Hoffmann et al., arXiv:2203.15556. Vocabularies should grow slower than models: Tao et
    // al., "Scaling Laws with Vocabulary", arXiv:2407.13623. The cube root goes through what was measured of small models
    // (docs/experiments.md) and what is usual for GPT-2's.
    let parameters = (flops / 120).squareRoot()
    let size = 4096 * pow(parameters / 5e5, 1.0 / 3)
    return 1 << Int(min(15, max(10, log2(size).rounded())))
  }

  /// Whether the widths beyond these can't be better: the law has one minimum.
  private func isPastBest(_ ladder: [[Candidate]]) -> Bool {
    let best = ladder.map(\.bits)
    guard best.count >= 3, let least = best.min() else { return false }
    return best.suffix(2).allSatisfy { $0 > least }
  }

  /// Powers of two from a thousand tokens, below which updates are mostly noise, to a million.
  private func batches(of width: Int, in settings: Settings) throws -> [(preset: Preset, settings: Settings)] {
    guard choosesBatch else { return [(.decoder(width: width), settings)] }
    let context = settings.train.context
    let sizes = (10...20).map { 1 << $0 }.filter { $0 >= context }
    return try (sizes.isEmpty ? [context] : sizes).map { tokens in
      let preset = Preset.decoder(width: width, batchSize: tokens / context)
      return (preset, try resolve(preset))
    }
  }

  private func candidate(
    _ preset: Preset, _ settings: Settings, _ layout: TensorLayout, _ time: StepTime, _ budget: Double
  ) -> Candidate {
    let batchTokens = settings.train.batchSize * settings.train.context
    let update = time.seconds(tokens: batchTokens)
    let updates = max(1, Int(min(1e12, Self.trainingShare * budget / update)))
    let tokens = Double(updates) * Double(batchTokens)
    let parameters = layout.parameterCount
    let inMatrices = layout.matrices.reduce(0) { $0 + $1.rows * $1.columns }
    return Candidate(
      preset: preset, settings: settings, parameters: parameters, matrixParameters: inMatrices, time: time,
      updates: updates, passes: tokens / law.trainTokens,
      exceedsText: Double(inMatrices) > law.usefulParameters,
      bitsPerToken: law.bitsPerToken(parameters: inMatrices, tokens: tokens, batchTokens: batchTokens))
  }

  /// The candidate with the memory that its training takes.
  ///
  /// - Throws: ``ComputeError``.
  package func withMemory(_ candidate: Candidate) throws -> Candidate {
    var found = candidate
    found.memory = try memory(candidate.settings)
    return found
  }

  /// Bytes that a training with these settings takes, where the device computes.
  ///
  /// - Throws: ``ComputeError``.
  package func memory(_ settings: Settings) throws -> Int {
    // Nothing is held between measurements: what the process has now it will have beside the training.
    let resident = ProcessMemory.resident
    let held = try TrainingMemory.bytes(settings, executor: executor)
    if executor.plannedBytes != nil { return held }
    // Planning itself may have taken more than a small model's training will.
    return max(ProcessMemory.peak, resident + held + min(dataBytes, settings.data.cache))
  }
}

extension [Planner.Candidate] {
  /// Of the best.
  fileprivate var bits: Double { map(\.bitsPerToken).min() ?? .infinity }
}
