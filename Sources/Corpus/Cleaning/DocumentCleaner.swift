import Formats
import Tokenization

/// Makes clean text of raw documents, or says why one is left out. Each thread has its own.
struct DocumentCleaner {
  enum Outcome {
    case kept([UInt8], MinHashSignature?)
    case dropped(DropRule, text: [UInt8])
    /// A blank line among others: no document at all.
    case nothing
  }

  private let options: CleaningOptions
  private let contamination: Contamination
  private let stopWords: StopWords?
  private let textField: String
  private let signs: Bool
  private var tally = Tally()

  private var words = DocumentWords()
  private var lines = DocumentLines()
  private var repetition = RepetitionRules()
  private var items: [UInt32] = []

  /// - Parameters:
  ///   - textField: the key of the text in a line of JSON.
  ///   - signs: whether kept documents get a signature.
  init(
    _ options: CleaningOptions, contamination: Contamination, stopWords: StopWords?, textField: String, signs: Bool
  ) {
    self.options = options
    self.contamination = contamination
    self.stopWords = stopWords
    self.textField = textField
    self.signs = signs
  }

  /// What was counted since the last time.
  mutating func takeTally() -> Tally {
    defer { tally = Tally() }
    return tally
  }

  /// - Throws: ``CorpusError/badLine(path:line:problem:)``.
  mutating func clean(_ raw: RawDocument, path: String) throws(CorpusError) -> Outcome {
    var text = raw.bytes
    var invalid = 0
    switch raw.form {
    case .text: break
    case .html: text = HTMLText.extract(repaired(text, &invalid))
    case .jsonLine(let number):
      guard let field = try self.text(of: text, path: path, line: number, &invalid) else { return .nothing }
      text = field
    }
    tally.add("documents_in")
    text = repaired(text, &invalid)
    if invalid > 0 {
      tally.add("repaired.invalid_utf8_documents")
      tally.add(invalid, "repaired.invalid_utf8_sequences")
    }
    normalize(&text)
    if TextCleaner.isBlank(text) { return dropped(.empty, text) }
    if let rule = failedRule(&text) { return dropped(rule, text) }
    finish(&text)
    if TextCleaner.isBlank(text) { return dropped(.empty, text) }
    guard signs else { return .kept(text, nil) }
    text.withUnsafeBytes { words.find(in: $0) }
    return .kept(text, MinHashSignature(words.words, items: &items))
  }

  private mutating func dropped(_ rule: DropRule, _ text: [UInt8]) -> Outcome {
    tally.add("dropped." + rule.rawValue)
    return .dropped(rule, text: text)
  }

  // MARK: Characters

  private mutating func repaired(_ bytes: [UInt8], _ invalid: inout Int) -> [UInt8] {
    let clean = TextCleaner.clean(bytes)
    invalid += clean.invalidSequences
    if clean.changedLineEnds { tally.add("repaired.line_ends") }
    if clean.hadByteOrderMark { tally.add("repaired.byte_order_marks") }
    return clean.bytes
  }

  private mutating func normalize(_ text: inout [UInt8]) {
    if options.steps.contains(.mojibake), let found = text.withUnsafeBytes({ Mojibake.repaired($0) }) {
      text = found.text
      tally.add("repaired.mojibake")
    }
    if options.steps.contains(.controls), let found = text.withUnsafeBytes({ ControlCharacters.removed(from: $0) }) {
      text = found.text
      tally.add(found.count, "repaired.control_characters")
    }
    if options.steps.contains(.nfc), let composed = text.withUnsafeBytes({ normalizedToNFC($0) }), composed != text {
      text = composed
      tally.add("repaired.nfc")
    }
    if options.steps.contains(.boilerplate) {
      text.withUnsafeBytes { lines.find(in: $0) }
      if let found = text.withUnsafeBytes({ BoilerplateLines.removed(from: $0, lines) }) {
        text = found.text
        tally.add(found.count, "repaired.boilerplate_lines")
      }
    }
  }

  // MARK: Rules

  private mutating func failedRule(_ text: inout [UInt8]) -> DropRule? {
    if options.minCharacters > 0 || options.maxCharacters < .max {
      let characters = text.count { $0 & 0xC0 != 0x80 }
      if characters < options.minCharacters { return .tooShort }
      if characters > options.maxCharacters { return .tooLong }
    }
    if options.steps.contains(.c4) {
      if let rule = text.withUnsafeBytes({ C4Rules.failed($0) }) { return rule }
      text.withUnsafeBytes { lines.find(in: $0) }
      guard let sentences = text.withUnsafeBytes({ C4Rules.sentences(of: $0, lines) }) else { return .c4Sentences }
      text = sentences
    }
    if let rule = failedLanguage(text) { return rule }
    let measures = options.steps.contains(.gopher) || options.steps.contains(.repetition)
    guard measures || !contamination.isEmpty else { return nil }
    return text.withUnsafeBytes { bytes in
      words.find(in: bytes)
      if measures { lines.find(in: bytes) }
      if options.steps.contains(.gopher), let rule = GopherRules.failed(bytes, words, lines) { return rule }
      if options.steps.contains(.repetition), let rule = repetition.failed(bytes, words, lines) { return rule }
      return contamination.touches(words.words) ? .contaminated : nil
    }
  }

  private mutating func failedLanguage(_ text: [UInt8]) -> DropRule? {
    guard let model = options.languageModel else { return nil }
    let found = text.withUnsafeBytes { model.language(of: $0) }
    let name = found.flatMap { $0.probability >= options.languageProbability ? $0.name : nil }
    tally.add("languages." + (name ?? "unknown"))
    guard !options.languages.isEmpty else { return nil }
    return name.map { options.languages.contains($0) } == true ? nil : .language
  }

  private mutating func finish(_ text: inout [UInt8]) {
    if options.scrubsPersonalData, let found = text.withUnsafeBytes({ PersonalData.scrubbed($0) }) {
      text = found.text
      tally.add("repaired.personal_data_documents")
      for (kind, count) in found.counts { tally.add(count, "personal_data." + kind.rawValue) }
    }
    if let stopWords {
      let found = stopWords.removed(from: String(decoding: text, as: UTF8.self))
      text = Array(found.text.utf8)
      tally.add(found.count, "repaired.stop_words")
    }
  }

  // MARK: Lines of JSON

  /// nil for a blank line.
  private mutating func text(
    of line: [UInt8], path: String, line number: Int, _ invalid: inout Int
  ) throws(CorpusError) -> [UInt8]? {
    func bad(_ problem: String) -> CorpusError { .badLine(path: path, line: number, problem: problem) }
    // JSON must be UTF-8: what isn't is repaired before it is read, and counted as in any text.
    let clean = TextCleaner.clean(line)
    if TextCleaner.isBlank(clean.bytes) { return nil }
    invalid += clean.invalidSequences
    let (json, surrogates) = try JSON.parse(repairing: clean.bytes, number, of: path)
    invalid += surrogates
    guard let value = json[textField] else {
      throw bad(
        json.object == nil
          ? "expected an object with the key \"\(textField)\", found \(json.kind)"
          : "has no key \"\(textField)\"; expected an object with that key")
    }
    // As in a table: a document without text, which is counted as empty.
    if case .null = value { return [] }
    guard let text = value.string else { throw bad("\"\(textField)\": expected a string, found \(value.kind)") }
    return Array(text.utf8)
  }
}
