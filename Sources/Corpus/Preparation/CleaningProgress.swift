import Formats

/// How far the cleaning of a corpus, or of one part of it, has come: what a process that goes on needs, and in the end what a
/// part says of itself.
struct CleaningProgress {
  /// What the inputs and options are, as one hash: others make another corpus.
  var fingerprint: String
  /// The number of the file that is being read, and how many of its raw documents are done.
  var unit = 0
  var rawDocuments = 0
  var isComplete = false
  var size = CleanedStore.Size()
  /// What was counted, by input.
  var tallies: [Tally]
  var examples = DropExamples()

  static let fileName = "progress.json"

  init(fingerprint: String, sources: Int) {
    self.fingerprint = fingerprint
    tallies = Array(repeating: Tally(), count: sources)
  }

  func write(to folder: String) throws(CorpusError) {
    let json: JSON = [
      "fingerprint": JSON(fingerprint), "unit": JSON(unit), "raw_documents": JSON(rawDocuments),
      "complete": JSON(isComplete),
      "documents": JSON(size.documents), "bytes": JSON(size.bytes), "tallies": JSON(tallies.map(\.json)),
      "examples": examples.json,
    ]
    try withFiles(try FileSystem.write(json.serialized() + "\n", to: Path.join(folder, Self.fileName)))
  }

  /// nil where there is none that can be used.
  init?(in folder: String) {
    guard let json = try? FileSystem.readJSON(Path.join(folder, Self.fileName)) else { return nil }
    self.init(json)
  }

  /// nil where the JSON is none that ``write(to:)`` writes.
  init?(_ json: JSON) {
    guard let fingerprint = json["fingerprint"]?.string,
      let unit = json["unit"]?.int, let rawDocuments = json["raw_documents"]?.int,
      let isComplete = json["complete"]?.bool,
      let documents = json["documents"]?.int, let bytes = json["bytes"]?.int,
      let tallies = json["tallies"]?.array?.map({ Tally($0) }),
      let examples = json["examples"].flatMap({ DropExamples($0) }), unit >= 0, rawDocuments >= 0,
      (0...CleanedStore.mostDocuments).contains(documents), (0...CleanedStore.mostBytes).contains(bytes)
    else { return nil }
    self.fingerprint = fingerprint
    self.unit = unit
    self.rawDocuments = rawDocuments
    self.isComplete = isComplete
    size = CleanedStore.Size(documents: documents, bytes: bytes)
    self.tallies = tallies.compactMap(\.self)
    guard self.tallies.count == tallies.count else { return nil }
    self.examples = examples
  }
}
