import Formats

/// The second half of a preparation whose first half was done in parts: of all parts it makes, byte for byte, what one
/// process makes of all files.
package struct PartMerge {
  private let options: PrepareOptions
  private let choices: DatasetChoices
  private let notify: @Sendable (PrepareEvent) -> Void

  /// - Parameters:
  ///   - options: its inputs are folders of parts, in any order.
  ///   - choices: what the data set shall be other than the parts say.
  package init(
    _ options: PrepareOptions, _ choices: DatasetChoices, notify: @escaping @Sendable (PrepareEvent) -> Void = { _ in }
  ) {
    self.options = options
    self.choices = choices
    self.notify = notify
  }

  package func run() throws(CorpusError) -> DatasetSummary {
    var parts: [CleanedPart] = []
    for folder in options.inputs { parts.append(try CleanedPart(reading: folder)) }
    parts.sort { $0.part.index < $1.part.index }
    guard let first = parts.first else { throw .missingParts([0], count: 1) }
    try Self.checkComplete(parts, like: first)

    var options = options
    try options.choose(first.choices)
    try options.choose(choices)
    if options.deduplication == .near, !first.hasSignatures {
      throw .setting(
        name: "--dedupe", value: "near",
        expected: "none or exact: the parts were cleaned without what near duplicates are told by; clean them again "
          + "with --dedupe near")
    }
    var stores: [CleanedStore] = []
    var progress: [CleaningProgress] = []
    FileSystem.allowOpenFiles(3 * parts.count + 256)
    for part in parts {
      let (store, counted) = try part.open()
      stores.append(store)
      progress.append(counted)
    }
    let listing = InputListing(first.inputs)
    let corpus = try CleanedCorpus(stores, files: listing.fileCount)
    let taken = try options.takenTokenizer()
    let folder = try withFiles(try WorkFolder(for: options.output))
    notify(.stage("merging \(counted(corpus.documentCount, "document")) of \(counted(parts.count, "part"))"))
    let summary = try DatasetMaker(options, tokenizer: taken, notify: notify).make(
      corpus, listing, progress, scratch: folder.workPath, into: try withFiles(try folder.emptyFolder("data")))
    try withFiles(try folder.commit("data"))
    return summary
  }

  /// All parts, each once, of one corpus and for one data set.
  private static func checkComplete(_ parts: [CleanedPart], like first: CleanedPart) throws(CorpusError) {
    for part in parts.dropFirst() {
      func differ(_ what: String) -> CorpusError {
        .partsDiffer(path: part.folder, other: first.folder, what: what)
      }
      guard part.part.count == first.part.count else {
        throw differ("is one of \(part.part.count) parts, not of \(first.part.count)")
      }
      for (key, value) in first.options {
        let found = part.options[key] ?? .null
        guard found != value else { continue }
        let option = "--" + key.replacing("_", with: "-")
        // The text of a tokenizer is no use to anybody.
        if key == "tokenizer" { throw differ("was cleaned for another \(option)") }
        throw differ("was cleaned with \(option) \(shown(found)), not \(shown(value))")
      }
      guard part.fingerprint == first.fingerprint, part.inputs == first.inputs else {
        throw differ("is a part of another corpus: other files, or other cleaning")
      }
    }
    for (one, other) in zip(parts, parts.dropFirst()) where one.part == other.part {
      throw .partTwice(number: one.part.index, first: one.folder, second: other.folder)
    }
    let found = Set(parts.map(\.part.index))
    let missing = (0..<first.part.count).filter { !found.contains($0) }
    if !missing.isEmpty { throw .missingParts(missing, count: first.part.count) }
  }

  private static func shown(_ value: JSON) -> String {
    value.isNull ? "by default" : value.string ?? value.serialized()
  }
}
