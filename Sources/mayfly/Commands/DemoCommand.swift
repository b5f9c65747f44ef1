import ArgumentParser
import Corpus
import Evaluation
import Formats
import Generation
import Tokenization
import Training

/// Shakespeare, from nothing to generated text.
struct Demo: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Train a small model on Shakespeare within minutes and let it write.",
    discussion: "`make demo` fetches the text first.")

  @Option(help: "The folder with the text.")
  var text = "data/shakespeare"

  @Option(help: "How long the training may take.")
  var budget = "3m"

  @Option(help: "The run's folder (default: runs/demo-N).")
  var out: String?

  @OptionGroup var device: DeviceOptions

  private static let prompt = "HAMLET.\nTo be, or not to be,"

  func validate() throws {
    if out?.isEmpty == true { throw ValidationError("--out: expected the name of a folder") }
    if parseDuration(budget) == nil { throw ValidationError("--budget \(budget): expected a duration as 90s or 3m") }
  }

  func run() throws {
    guard FileSystem.exists(text) else {
      throw CommandError("\(text): there is no text; `make demo` fetches it, or give your own with --text")
    }
    Log.line("A Transformer that doesn't exist yet will now read Shakespeare for \(budget).\n")
    var request = TrainingRun.Request(data: [text])
    request.out = out
    request.name = "demo"
    try request.overrides.add("train.budget", "\(parseDuration(budget) ?? 180)")
    let run = try TrainingRun(request, device)
    try run.start()

    let model = try LoadedModel(run.folder.path, device)
    let result = try model.evaluate(run.dataset.shards(of: .test), tokenizer: run.dataset.tokenizer)
    if let bits = result.bitsPerByte {
      Log.line("\nOn whole works that it has never seen: \(fixed(bits, 3)) bits per byte (xz -9e needs 2.49).")
    }
    Log.line("Now it writes:\n")
    let tokenizer = try model.requireTokenizer(for: "demo")
    var options = SamplingOptions()
    options.temperature = 0.8
    options.topP = 0.95
    options.seed = 1
    try Output.write(Self.prompt)
    let ids = tokenizer.encode(Self.prompt, specialTokens: false)
    let maxTokens = 240
    _ = try model.generator(longest: ids.count + maxTokens).generate(
      prompt: ids, maxTokens: maxTokens, options: options
    ) { text in
      try Output.write(ofModel: text)
      return true
    }
    try Output.line("")
    let program = CommandLine.arguments.first ?? "mayfly"
    Log.line(
      """

      Generate more:
        \(program) generate \(run.folder.path) --prompt "JULIET." --max-tokens 300 --seed 7
      Train on your own text, a file or a folder of .txt, .md or .jsonl:
        \(program) train --data YOUR-TEXT --budget 10m --out runs/mine
        \(program) generate runs/mine --prompt "Once upon a time"
      """)
  }
}
