import Formats
import Tokenization

/// A folder of one part's cleaned documents, by what it says of itself in `part.json`.
struct CleanedPart {
  let folder: String
  let part: PartNumber
  /// What all parts of a corpus have in common.
  let fingerprint: String
  let inputs: [InputListing.Input]
  /// What the data set shall be, as JSON; a tokenizer that is given by its hash.
  let options: JSONObject
  let choices: DatasetChoices
  private let hashes: JSONObject

  private static let fileName = "part.json"
  private static let tokenizerName = "tokenizer.json"
  private static let format = "mayfly-part"
  private static let version = 1
  /// Of one input; they are added up.
  private static let mostFiles = 1 << 32

  /// What documents are compared by is there.
  var hasSignatures: Bool { choices.deduplication == .near }

  /// The files beside `part.json` of which it has hashes; the texts have them already, one each.
  private static func hashedNames(signatures: Bool, tokenizer: Bool) -> [String] {
    [CleaningProgress.fileName, CleanedStore.recordsName]
      + (signatures ? [CleanedStore.signaturesName] : []) + (tokenizer ? [tokenizerName] : [])
  }

  // MARK: Writing

  /// Completes a folder that holds a store and its progress, both whole: with a tokenizer that was given, and
  /// `part.json`.
  static func write(
    _ options: PrepareOptions, _ listing: InputListing, _ tokenizer: Tokenizer?, into folder: String
  ) throws(CorpusError) {
    let small = hashedNames(signatures: options.deduplication == .near, tokenizer: tokenizer != nil)
    var choices = DatasetChoices(options).json
    choices["tokenizer"] = .null
    if let tokenizer {
      let bytes = tokenizer.json().serializedBytes(pretty: true)
      try withFiles(try FileSystem.write(bytes, to: Path.join(folder, tokenizerName)))
      choices["tokenizer"] = JSON(ContentHash(bytes).hex)
    }
    // What a process with other options, or one that was killed, has left.
    for name in try withFiles(try FileSystem.names(in: folder)) where name != CleanedStore.textsName {
      if !small.contains(name) { try withFiles(try FileSystem.remove(Path.join(folder, name))) }
    }
    var hashes = JSONObject()
    for name in small { hashes[name] = JSON(try withFiles(try ContentHash(file: Path.join(folder, name))).hex) }
    let json: JSON = [
      "format": JSON(format), "version": JSON(version),
      "part": JSON(options.part.index), "of": JSON(options.part.count),
      "fingerprint": JSON(listing.commonFingerprint(options)),
      "inputs": JSON(listing.inputs.map(\.json)),
      "options": .object(choices),
      "sha256": .object(hashes),
    ]
    try withFiles(try FileSystem.write(json.serialized(pretty: true) + "\n", to: Path.join(folder, fileName)))
  }

  // MARK: Reading

  init(reading folder: String) throws(CorpusError) {
    self.folder = folder
    let path = Path.join(folder, Self.fileName)
    guard FileSystem.isFile(path) else { throw .notAPart(path: folder) }
    let json = try withFiles(try FileSystem.readJSON(path))
    guard json["format"]?.string == Self.format, json["version"]?.int == Self.version else {
      throw .file(
        .content(
          path: path,
          problem: "expected version \(Self.version) of \(Self.format); clean the part again with this program"))
    }
    guard let index = json["part"]?.int, let count = json["of"]?.int, let part = PartNumber(index, of: count),
      let fingerprint = json["fingerprint"]?.string,
      let inputs = json["inputs"]?.array?.map({ InputListing.Input($0, mostFiles: Self.mostFiles) }), !inputs.isEmpty,
      let options = json["options"], let object = options.object, var choices = DatasetChoices(options),
      let hashes = json["sha256"]?.object
    else { throw Self.damaged(path) }
    self.part = part
    self.fingerprint = fingerprint
    self.inputs = inputs.compactMap(\.self)
    guard self.inputs.count == inputs.count else { throw Self.damaged(path) }
    self.options = object
    if let tokenizer = object["tokenizer"], !tokenizer.isNull {
      choices.tokenizer = Path.join(folder, Self.tokenizerName)
    }
    self.choices = choices
    self.hashes = hashes
  }

  /// Its documents and what was counted, if all is as it was written; nothing in the folder is changed.
  func open() throws(CorpusError) -> (CleanedStore, CleaningProgress) {
    let progressPath = Path.join(folder, CleaningProgress.fileName)
    let json = try withFiles(try FileSystem.readJSON(progressPath))
    guard let progress = CleaningProgress(json), progress.isComplete, progress.tallies.count == inputs.count else {
      throw Self.damaged(progressPath)
    }
    // Files that are cut short are named as such, before their hashes tell less.
    let store = try CleanedStore(reading: folder, signatures: hasSignatures, size: progress.size)
    for name in Self.hashedNames(signatures: hasSignatures, tokenizer: choices.tokenizer != nil) {
      let path = Path.join(folder, name)
      guard hashes[name]?.string == (try withFiles(try ContentHash(file: path))).hex else { throw Self.damaged(path) }
    }
    return (store, progress)
  }

  private static func damaged(_ path: String) -> CorpusError {
    .file(.content(path: path, problem: "isn't what was written there; copy the part, or clean it, again"))
  }
}

extension InputListing.Input {
  fileprivate var json: JSON { ["name": JSON(name), "files": JSON(files), "unsupported": JSON(unsupported)] }

  /// nil where the JSON is none of an input.
  fileprivate init?(_ json: JSON, mostFiles: Int) {
    guard let name = json["name"]?.string, let files = json["files"]?.int, let unsupported = json["unsupported"]?.int,
      (0...mostFiles).contains(files), (0...mostFiles).contains(unsupported)
    else { return nil }
    self.init(name: name, files: files, unsupported: unsupported)
  }
}
