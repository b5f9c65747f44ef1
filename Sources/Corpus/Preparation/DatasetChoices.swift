import Formats
package import Tokenization

/// What is made of cleaned documents, as far as somebody has said it.
package struct DatasetChoices: Sendable {
  package var deduplication: PrepareOptions.Deduplication?
  /// Of cleaning, the step that needs all documents: a merge does what the parts could not.
  var dropsRepeatedLines = false
  package var valFraction: Double?
  package var testFraction: Double?
  package var seed: UInt64?
  package var vocabularySize: Int?
  package var pattern: SplitPattern?
  /// A tokenizer.json, or a folder with one, instead of learning a vocabulary.
  package var tokenizer: String?

  package init() {}

  /// All that options say, but for a tokenizer that is given, which is a file of its own.
  init(_ options: PrepareOptions) {
    deduplication = options.deduplication
    dropsRepeatedLines = options.cleaning.steps.contains(.repeatedLines)
    valFraction = options.fractions.val
    testFraction = options.fractions.test
    seed = options.seed
    if case .learn(let size, let pattern) = options.tokenizer { (vocabularySize, self.pattern) = (size, pattern) }
  }

  /// By the names of their options.
  var json: JSONObject {
    var object = JSONObject()
    object["dedupe"] = deduplication.map { JSON($0.rawValue) } ?? JSON.null
    // As one of --clean, which the parts have been given.
    object["clean"] = dropsRepeatedLines ? JSON(CleaningOptions.Step.repeatedLines.rawValue) : JSON.null
    object["val_fraction"] = valFraction.map { JSON($0) } ?? JSON.null
    object["test_fraction"] = testFraction.map { JSON($0) } ?? JSON.null
    object["seed"] = seed.map { JSON(seed: $0) } ?? JSON.null
    object["vocab_size"] = vocabularySize.map { JSON($0) } ?? JSON.null
    object["pattern"] = pattern.map { JSON($0.name) } ?? JSON.null
    return object
  }

  /// nil where the JSON is none of a part's.
  init?(_ json: JSON) {
    guard let kind = json["dedupe"]?.string, let deduplication = PrepareOptions.Deduplication(rawValue: kind),
      let valFraction = json["val_fraction"]?.double, let testFraction = json["test_fraction"]?.double,
      let seed = json["seed"]?.seed, let size = json["vocab_size"], let name = json["pattern"]
    else { return nil }
    self.deduplication = deduplication
    dropsRepeatedLines = json["clean"]?.string == CleaningOptions.Step.repeatedLines.rawValue
    self.valFraction = valFraction
    self.testFraction = testFraction
    self.seed = seed
    vocabularySize = size.int
    pattern = name.string.flatMap { SplitPattern(name: $0) }
    guard size.isNull || vocabularySize != nil, name.isNull || pattern != nil else { return nil }
  }
}

extension JSON {
  /// Numbers of JSON here are signed: larger seeds are texts.
  init(seed: UInt64) { self = Int64(exactly: seed).map { .integer($0) } ?? .string("\(seed)") }

  var seed: UInt64? { int.flatMap { UInt64(exactly: $0) } ?? string.flatMap { UInt64($0) } }
}

extension SplitPattern {
  /// The name that `--pattern` knows it by.
  package var name: String {
    switch self {
    case .gpt2: "gpt2"
    case .cl100k(digits: 3): "cl100k"
    case .cl100k(let digits): "cl100k, numbers in runs of \(digits)"
    case .none: "none"
    }
  }

  /// The pattern of a name; nil if it is none of the known ones.
  init?(name: String) {
    let known: [SplitPattern] = [.gpt2, .cl100k(digits: 1), .cl100k(digits: 2), .cl100k(digits: 3), .none]
    guard let pattern = known.first(where: { $0.name == name }) else { return nil }
    self = pattern
  }
}
