import Formats

/// The inputs of a preparation without their content: what tells whether another process was asked for the same.
struct InputListing {
  struct Input: Equatable {
    let name: String
    let files: Int
    let unsupported: Int
  }

  let inputs: [Input]
  private let states: String
  /// The same without what differs between machines: where the files are, and when they were copied there.
  private let contents: String
  let hasStandardInput: Bool

  var fileCount: Int { inputs.reduce(0) { $0 + $1.files } }

  func fileCount(of part: PartNumber) -> Int {
    fileCount / part.count + (part.index < fileCount % part.count ? 1 : 0)
  }

  init(_ sources: [Source]) throws(CorpusError) {
    inputs = sources.map { Input(name: $0.name, files: $0.files.count, unsupported: $0.unsupported) }
    hasStandardInput = sources.contains { $0.files.contains { $0.path == Source.standardInput } }
    var states = ""
    var contents = ""
    for source in sources {
      contents += "\(source.name)\t\(source.files.count)\t\(source.unsupported)\n"
      for file in source.files where file.path != Source.standardInput {
        if let remote = file.download?.file {
          states += remote.identity + "\n"
          contents += remote.identity + "\n"
          continue
        }
        let state = try withFiles(try FileSystem.state(of: file.path))
        states += "\(file.path)\t\(state.size)\t\(state.modified)\n"
        contents += "\(Path.name(file.path))\t\(state.size)\n"
      }
    }
    self.states = states
    self.contents = contents
  }

  /// Inputs that other processes have read.
  init(_ inputs: [Input]) {
    self.inputs = inputs
    hasStandardInput = false
    (states, contents) = ("", "")
  }

  /// Of what decides on the cleaned documents: the files as they are, and what is done with them.
  func fingerprint(_ options: PrepareOptions) -> String {
    let part = "part \(options.part.index)/\(options.part.count)\n"
    return ContentHash(Array((states + part + options.cleaningIdentity).utf8)).hex
  }

  /// What all parts of a corpus have in common, on whatever machines they are cleaned.
  func commonFingerprint(_ options: PrepareOptions) -> String {
    ContentHash(Array((contents + options.cleaningIdentity).utf8)).hex
  }

  /// The number of the input that a file belongs to, by the file's number among all.
  func input(of unit: Int) -> Int {
    var left = unit
    for (index, input) in inputs.enumerated() {
      if left < input.files { return index }
      left -= input.files
    }
    return max(0, inputs.count - 1)
  }
}

extension PrepareOptions {
  /// All that decides on the cleaned documents of a file, as a text.
  var cleaningIdentity: String {
    let steps = CleaningOptions.Step.allCases.filter { cleaning.steps.contains($0) }.map(\.rawValue).joined(
      separator: ",")
    let texts = cleaning.evaluationTexts.map { ContentHash($0).hex }.joined(separator: ",")
    return """
      version 1
      field \(reading.textField) encoding \(reading.encoding ?? "")
      steps \(steps) characters \(cleaning.minCharacters)…\(cleaning.maxCharacters)
      languages \(cleaning.languages.joined(separator: ",")) of \(cleaning.languageModel?.identity ?? "") \
      \(cleaning.languageProbability)
      stop words \(cleaning.stopWordLanguages.joined(separator: ","))
      personal data \(cleaning.scrubsPersonalData) evaluation \(texts) signatures \(deduplication == .near)
      """
  }
}
