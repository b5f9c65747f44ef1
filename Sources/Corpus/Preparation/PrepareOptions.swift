package import Tokenization

/// What `prepare` is asked to do.
package struct PrepareOptions: Sendable {
  package enum TokenizerChoice: Sendable {
    /// Learn one from the training split; without a size, one that suits the amount of text.
    case learn(vocabularySize: Int?, pattern: SplitPattern)
    /// Take one: a tokenizer.json or a folder with one.
    case take(path: String)
  }

  /// Files and folders of text.
  package var inputs: [String]
  /// The folder to be made; it must not be there yet, or be empty.
  package var output: String
  package var tokenizer = TokenizerChoice.learn(vocabularySize: nil, pattern: PrepareOptions.defaultPattern)
  /// A vocabulary whose size is not given gets no larger, in a script of one byte per character; nil: as the text allows.
  package var mostTokens: Int?
  package var fractions: SplitFractions
  /// Another one gives another split of the documents.
  package var seed: UInt64 = 0
  package var reading = ReadingOptions()
  package var cleaning = CleaningOptions()
  package var deduplication = Deduplication.exact
  /// Threads.
  package var workers = 1
  /// Bytes of memory that the work is kept within.
  package var memory = PrepareOptions.defaultMemory
  /// Which part of the files is cleaned here, of how many.
  package var part = PartNumber.whole
  /// Shards are closed at the end of the document that reaches this many tokens.
  package var shardTokens = 100_000_000

  /// Which repeated documents are left out.
  package enum Deduplication: String, CaseIterable, Sendable {
    case none, exact, near
  }

  package static let defaultMemory = 2 << 30
  package static let leastMemory = 256 << 20
  package static let defaultPattern = SplitPattern.cl100k(digits: 3)
  package static let defaultValFraction = 0.05
  package static let defaultTestFraction = 0.05

  package init(
    inputs: [String], output: String, valFraction: Double = defaultValFraction,
    testFraction: Double = defaultTestFraction
  ) throws(CorpusError) {
    self.inputs = inputs
    self.output = output
    fractions = try SplitFractions(val: valFraction, test: testFraction)
  }

  /// Takes what was chosen; the rest stays.
  package mutating func choose(_ choices: DatasetChoices) throws(CorpusError) {
    deduplication = choices.deduplication ?? deduplication
    if choices.dropsRepeatedLines { cleaning.steps.insert(.repeatedLines) }
    fractions = try SplitFractions(
      val: choices.valFraction ?? fractions.val, test: choices.testFraction ?? fractions.test)
    seed = choices.seed ?? seed
    if let path = choices.tokenizer {
      tokenizer = .take(path: path)
    } else if choices.vocabularySize != nil || choices.pattern != nil {
      var (size, pattern) = (Int?.none, PrepareOptions.defaultPattern)
      if case .learn(let known, let by) = tokenizer { (size, pattern) = (known, by) }
      tokenizer = .learn(vocabularySize: choices.vocabularySize ?? size, pattern: choices.pattern ?? pattern)
    }
  }

  /// A vocabulary that suits so many bytes of text: each token should be seen often enough to be learned, and the
  /// embedding of a small model shouldn't outweigh its layers.
  package static func defaultVocabularySize(trainBytes: Int) -> Int {
    switch trainBytes {
    case ..<(1 << 20): 1024
    case ..<(16 << 20): 4096
    case ..<(128 << 20): 8192
    case ..<(1 << 30): 16_384
    default: 32_768
    }
  }
}

/// What `prepare` tells while it works.
package enum PrepareEvent: Sendable {
  /// A stage begins, in words.
  case stage(String)
  /// Something that the user should know, in words.
  case warning(String)
}
