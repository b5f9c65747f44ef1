import Formats
import Tokenization

/// Makes a data set from text: read → clean → dedupe → split → learn a tokenizer → encode → shards and a report.
///
/// The output folder is whole or not there. Cleaned text waits on disk beside it, and a process that was killed is gone on with
/// by the next one that is asked for the same.
package final class Preparation {
  private let options: PrepareOptions
  private let notify: (PrepareEvent) -> Void

  package init(_ options: PrepareOptions, notify: @escaping (PrepareEvent) -> Void = { _ in }) {
    self.options = options
    self.notify = notify
  }

  package func run() throws(CorpusError) -> DatasetSummary {
    // What is wrong with the options, the inputs or the output is found before any work.
    var sources: [Source] = []
    for input in options.inputs { sources.append(try Source(input: input)) }
    let taken = try takenTokenizer()
    let folder = try withFiles(try WorkFolder(for: options.output))
    do throws(CorpusError) {
      let listing = try InputListing(sources)
      let (store, progress) = try clean(sources, listing, in: folder)
      let corpus = try CleanedCorpus([store])
      let summary = try DatasetMaker(options, tokenizer: taken, notify: notify).make(
        corpus, listing, [progress], scratch: folder.workPath, into: try withFiles(try folder.emptyFolder("data")))
      try withFiles(try folder.commit("data"))
      return summary
    } catch {
      // A full disk is made room on, and then what is there goes on.
      folder.staysOnFailure = error.exitCode == ContractExit.output
      throw error
    }
  }

  // MARK: Clean

  private func clean(
    _ sources: [Source], _ listing: InputListing, in folder: WorkFolder
  ) throws(CorpusError) -> (CleanedStore, CleaningProgress) {
    let place = try withFiles(try folder.folder("cleaned"))
    let fingerprint = listing.fingerprint(options)
    var progress = CleaningProgress(fingerprint: fingerprint, sources: sources.count)
    if let earlier = CleaningProgress(in: place), !listing.hasStandardInput {
      if earlier.fingerprint == fingerprint, earlier.tallies.count == sources.count {
        progress = earlier
        notify(
          .stage(
            "going on where an earlier run was stopped: \(counted(earlier.size.documents, "document")) are cleaned"))
      } else {
        notify(.warning("inputs or options have changed since a run that was stopped: beginning anew"))
      }
    }
    let store: CleanedStore
    do throws(CorpusError) {
      store = try CleanedStore(in: place, signatures: options.deduplication == .near, keeping: progress.size)
    } catch {
      // Less is there than was made durable: the disk has lost it.
      guard case .file(.cutShort) = error else { throw error }
      progress = CleaningProgress(fingerprint: fingerprint, sources: sources.count)
      store = try CleanedStore(in: place, signatures: options.deduplication == .near)
    }
    if !progress.isComplete {
      notify(.stage("reading \(counted(listing.fileCount, "file"))"))
      try CleaningStage(sources: sources, options: options, folder: place).run(store, &progress)
    }
    return (store, progress)
  }

  private func takenTokenizer() throws(CorpusError) -> Tokenizer? {
    switch options.tokenizer {
    case .take(let path):
      let tokenizer: Tokenizer
      do {
        tokenizer = try Tokenizer.load(path: path)
      } catch {
        throw .tokenizer(path: path, error)
      }
      guard tokenizer.endOfText != nil else { throw .noEndOfText(path: path) }
      return tokenizer
    case .learn(let size?, _) where !(257...1 << 20).contains(size):
      throw .setting(
        name: "--vocab-size", value: "\(size)",
        expected: "from 257 (the bytes and <|endoftext|>) to 1,048,576")
    case .learn:
      return nil
    }
  }
}

func counted(_ count: Int, _ noun: String) -> String { "\(count) \(noun)\(count == 1 ? "" : "s")" }

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
}
