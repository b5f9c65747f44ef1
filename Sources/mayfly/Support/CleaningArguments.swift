import ArgumentParser
import Corpus
import Formats

/// What `prepare` does with documents, as options.
struct CleaningArguments: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Steps of cleaning, by commas: \(CleaningOptions.Step.allCases.map(\.rawValue).joined(separator: ", ")); "
        + "'text' for what harms none (mojibake, controls, nfc), 'web' for all."))
  var clean = ""

  @Option(help: "Leave out repeated documents: none, exact or near (default: exact).")
  var dedupe: PrepareOptions.Deduplication?

  @Flag(name: .customLong("scrub-pii"), help: "Replace personal data and keys by placeholders such as <EMAIL>.")
  var scrubPII = false

  @Option(
    help: ArgumentHelp(
      "Leave out the stop words of these languages, by commas (\(StopWords.languages.joined(separator: ", "))); "
        + "not for text that a model is to write."))
  var stopWords = ""

  @Option(
    help: "Leave out documents that share 13 words in a row with this evaluation set (.txt, .jsonl); again for more.")
  var decontaminate: [String] = []

  @Option(help: "Leave out documents of fewer characters.")
  var minChars = 0

  @Option(help: "Leave out documents of more characters.")
  var maxChars: Int?

  @Option(help: "Keep only documents in these languages, by commas; needs --language-model.")
  var languages = ""

  @Option(help: "A model that tells languages, as Scripts/learn-languages makes it.")
  var languageModel: String?

  func options() throws -> CleaningOptions {
    var options = CleaningOptions()
    options.steps = try steps()
    options.scrubsPersonalData = scrubPII
    options.stopWordLanguages = Self.list(stopWords)
    _ = try StopWords(languages: options.stopWordLanguages)
    for path in decontaminate { options.evaluationTexts += try EvaluationTexts.read(path) }
    guard minChars >= 0 else {
      throw CorpusError.setting(name: "--min-chars", value: "\(minChars)", expected: "0 or more")
    }
    options.minCharacters = minChars
    if let maxChars {
      guard maxChars > 0, maxChars >= minChars else {
        throw CorpusError.setting(
          name: "--max-chars", value: "\(maxChars)", expected: "at least 1, and at least --min-chars")
      }
      options.maxCharacters = maxChars
    }
    options.languages = Self.list(languages)
    if let languageModel {
      let model = try LanguageModel(path: languageModel)
      for language in options.languages where !model.languages.contains(language) {
        throw CorpusError.setting(
          name: "--languages", value: language,
          expected: "one that \(languageModel) knows: "
            + model.languages.joined(separator: ", "))
      }
      options.languageModel = model
    } else if !options.languages.isEmpty {
      throw ValidationError("--languages: needs --language-model; Scripts/learn-languages makes one")
    }
    return options
  }

  /// The options that say something, by their names; but for --dedupe, which is about documents that are clean already.
  var given: [String] {
    let options: [(name: String, isGiven: Bool)] = [
      ("--clean", !clean.isEmpty), ("--scrub-pii", scrubPII), ("--stop-words", !stopWords.isEmpty),
      ("--decontaminate", !decontaminate.isEmpty), ("--min-chars", minChars != 0), ("--max-chars", maxChars != nil),
      ("--languages", !languages.isEmpty), ("--language-model", languageModel != nil),
    ]
    return options.filter(\.isGiven).map(\.name)
  }

  private func steps() throws -> Set<CleaningOptions.Step> {
    var steps: Set<CleaningOptions.Step> = []
    for name in Self.list(clean) {
      switch name {
      case "text": steps.formUnion(CleaningOptions.textSteps)
      case "web": steps.formUnion(CleaningOptions.Step.allCases)
      default:
        guard let step = CleaningOptions.Step(rawValue: name) else {
          throw CorpusError.setting(
            name: "--clean", value: name,
            expected: "steps of "
              + CleaningOptions.Step.allCases.map(\.rawValue).joined(separator: ", ") + ", or text, or web")
        }
        steps.insert(step)
      }
    }
    return steps
  }

  private static func list(_ text: String) -> [String] {
    text.split(separator: ",").map { String($0.filter { $0 != " " }) }.filter { !$0.isEmpty }
  }
}

extension PrepareOptions.Deduplication: ExpressibleByArgument {}
