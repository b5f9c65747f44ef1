import Formats

/// Makes a data set from text: read → clean → dedupe → split → learn a tokenizer → encode → shards and a report.
///
/// The output folder is whole or not there. Cleaned text waits on disk beside it, and a process that was killed is gone
/// on with by the next one that is asked for the same. ``PartPreparation`` and ``PartMerge`` do the same on several machines.
package final class Preparation {
  private let options: PrepareOptions
  private let notify: @Sendable (PrepareEvent) -> Void

  package init(_ options: PrepareOptions, notify: @escaping @Sendable (PrepareEvent) -> Void = { _ in }) {
    self.options = options
    self.notify = notify
  }

  package func run() throws(CorpusError) -> DatasetSummary {
    // What is wrong with the options, the inputs or the output is found before any work.
    let cleaning = try InputCleaning(options, notify: notify)
    let taken = try options.takenTokenizer()
    let folder = try withFiles(try WorkFolder(for: options.output))
    return try folder.keepingWork { () throws(CorpusError) in
      let (store, progress) = try cleaning.run(in: folder)
      let corpus = try CleanedCorpus([store], files: cleaning.listing.fileCount)
      let summary = try DatasetMaker(options, tokenizer: taken, notify: notify).make(
        corpus, cleaning.listing, [progress], scratch: folder.workPath,
        into: try withFiles(try folder.emptyFolder("data")))
      try withFiles(try folder.commit("data"))
      return summary
    }
  }
}
