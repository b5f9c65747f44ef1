import ArgumentParser
import Compute
import Corpus
import Formats
import Generation
import Models
import Tokenization
import Training

/// How fast a model trains or writes here, and where the time goes.
struct Bench: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Measure how fast a model trains or writes on this machine, and where the time goes.",
    discussion: """
      Weights and tokens are random, so it needs no data and leaves nothing behind. With --file it measures instead how \
      fast that text is encoded, or a vocabulary learned from it.
      """)

  @Option(help: "A named model size; see the README.")
  var preset = Preset.all[0].name

  @Option(
    name: .customLong("set"), parsing: .unconditionalSingleValue, help: "A setting, as key=value; may be given again.")
  var settings: [String] = []

  @Option(help: "auto, fp32, bf16 or fp16.")
  var precision: String?

  @Option(help: "Updates to measure the speed with, or tokens; as many again show where the time goes.")
  var steps = 10

  @Flag(help: "Generate, one token after another, instead of training.")
  var generate = false

  @Option(help: "With --generate: tokens that are read before.")
  var promptTokens: Int?

  @Option(help: "Text, as 'mayfly prepare' reads it, to be encoded or learned from.")
  var file: String?

  @Option(help: "With --file: encode by this tokenizer.json, or a model's or folder's.")
  var encode: String?

  @Option(help: "With --file: learn a vocabulary of this size.")
  var learn: Int?

  @Option(help: "With --learn: write the tokenizer.json there.")
  var out: String?

  @Flag(help: "Print one JSON document.")
  var json = false

  @OptionGroup var device: DeviceOptions

  /// Where neither `--set` nor a tokenizer says.
  private static let vocabularySize = 8192
  /// Updates, or tokens, before the clock starts: they touch fresh memory.
  private static let warmup = 2

  func validate() throws {
    if !(1...1_000_000).contains(steps) { throw ValidationError("--steps \(steps): expected 1 to 1000000") }
    if (file == nil) != (encode == nil && learn == nil) || (encode != nil && learn != nil) {
      throw ValidationError("--file: expected with one of --encode and --learn")
    }
    if out != nil, learn == nil { throw ValidationError("--out: only with --learn") }
    if let promptTokens {
      if !generate { throw ValidationError("--prompt-tokens: only with --generate") }
      if promptTokens < 1 { throw ValidationError("--prompt-tokens \(promptTokens): expected at least 1") }
    }
  }

  private func measureTokens(of file: String) throws {
    let speed = try TokenizerSpeed(file: file, threads: try Prepare.workers(device.threads))
    let report: TokenizerSpeed.Report
    if let learn {
      let tokenizer: Tokenizer
      (report, tokenizer) = try speed.learn(vocabularySize: learn, pattern: PrepareOptions.defaultPattern)
      if let out { try FileSystem.write(tokenizer.json().serializedBytes(pretty: true), to: out) }
    } else {
      report = speed.encode(by: try Tokenizer.load(path: Tokenize.tokenizerPath(encode ?? "")), rounds: steps)
    }
    try json ? Output.json(report.json) : Output.write(report.text)
  }

  func run() throws {
    if let file { return try measureTokens(of: file) }
    var settings = try resolved()
    let profile = StepProfile()
    let executor = try device.makeExecutor(profile: profile)
    settings.choosePrecision(for: executor)
    let report =
      generate ? try generation(settings, executor, profile) : try training(settings, executor, profile)
    try json ? Output.json(report.json) : Output.write(report.text)
  }

  private func training(
    _ settings: Settings, _ executor: any Executor, _ profile: StepProfile
  ) throws -> SpeedReport {
    let test = try SpeedTest(settings, executor: executor)
    let (times, profiled, use) = try measure(executor, profile) { try test.run(updates: $0) }
    return SpeedReport(
      model: settings.model, device: executor.deviceDescription, parameters: test.parameters,
      work: .update(batchSize: settings.train.batchSize, context: settings.train.context), times: times,
      profiledTimes: profiled, profile: profile, use: use)
  }

  private func generation(
    _ settings: Settings, _ executor: any Executor, _ profile: StepProfile
  ) throws -> SpeedReport {
    // Weights are fp32 there: a figure for less must not be theirs.
    if let precision, !["auto", "fp32"].contains(precision) {
      throw CommandError("--generate --precision \(precision): generation has no other precision than fp32 yet")
    }
    let prompt = promptTokens ?? 32
    let tokens = prompt + Self.warmup + 2 * steps
    guard tokens <= settings.model.maxPositions else {
      throw CommandError(
        "\(tokens) tokens, of the prompt, to warm up and twice --steps, are more than the context of "
          + "\(settings.model.maxPositions); give a smaller --steps or a larger model.max_position_embeddings")
    }
    let test = try GenerationSpeedTest(settings.model, executor: executor, prompt: prompt)
    let promptSeconds = try test.readPrompt()
    let (times, profiled, use) = try measure(executor, profile) { try test.run(tokens: $0) }
    return SpeedReport(
      model: settings.model, device: executor.deviceDescription, parameters: test.parameters,
      work: .token(promptTokens: prompt, promptSeconds: promptSeconds), times: times, profiledTimes: profiled,
      profile: profile, use: use)
  }

  /// The seconds of each step and how they used the device, and the seconds of as many with the profile on.
  private func measure(
    _ executor: any Executor, _ profile: StepProfile, run: (Int) throws -> [Double]
  ) throws -> (times: [Double], profiled: [Double], use: DeviceUse?) {
    _ = try run(Self.warmup)
    try executor.beginWatching()
    let times = try run(steps)
    let use = try executor.endWatching()
    profile.isOn = true
    return (times, try run(steps), use)
  }

  private func resolved() throws -> Settings {
    let preset = try Preset.known(preset)
    var overrides = SettingOverrides()
    for assignment in settings { try overrides.add(assignment: assignment) }
    if let precision { try overrides.add("train.precision", precision) }
    if overrides["model.vocab_size"] == nil { try overrides.add("model.vocab_size", "\(Self.vocabularySize)") }
    return try Settings.resolve(preset: preset, overrides: overrides, initial: nil, tokens: nil)
  }
}
