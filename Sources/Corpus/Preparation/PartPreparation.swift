package import Formats

/// The first half of a preparation for one part of the files: leaves a folder of cleaned documents that ``PartMerge``
/// takes with those of the other parts.
package struct PartPreparation {
  /// What there is now.
  package struct Summary: Sendable {
    package let part: PartNumber
    package let files: Int
    package let documents: Int
    package let bytes: Int

    package var json: JSON {
      [
        "part": JSON(part.index), "of": JSON(part.count), "files": JSON(files), "documents": JSON(documents),
        "bytes": JSON(bytes),
      ]
    }
  }

  private let options: PrepareOptions
  private let notify: @Sendable (PrepareEvent) -> Void

  package init(_ options: PrepareOptions, notify: @escaping @Sendable (PrepareEvent) -> Void = { _ in }) {
    self.options = options
    self.notify = notify
  }

  package func run() throws(CorpusError) -> Summary {
    let cleaning = try InputCleaning(options, notify: notify)
    let part = options.part
    guard !cleaning.listing.hasStandardInput else {
      throw .setting(
        name: "--part", value: "\(part.index)/\(part.count)",
        expected: "files and folders as inputs: standard input is read by one process only")
    }
    let tokenizer = try options.takenTokenizer()
    let folder = try withFiles(try WorkFolder(for: options.output))
    return try folder.keepingWork { () throws(CorpusError) in
      let (store, progress) = try cleaning.run(in: folder)
      let place = try withFiles(try folder.folder(InputCleaning.folderName))
      try CleanedPart.write(options, cleaning.listing, tokenizer, into: place)
      try withFiles(try folder.commit(InputCleaning.folderName))
      return Summary(
        part: part, files: cleaning.listing.fileCount(of: part), documents: store.size.documents,
        bytes: progress.size.bytes)
    }
  }
}
