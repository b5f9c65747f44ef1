import Formats
import Tokenization

/// The first half of a preparation in its work folder: begins, or goes on where a process was stopped that was asked for
/// the same.
struct InputCleaning {
  let listing: InputListing
  private let sources: [Source]
  private let options: PrepareOptions
  private let notify: @Sendable (PrepareEvent) -> Void

  /// The folder of the work that holds store and progress.
  static let folderName = "cleaned"

  init(_ options: PrepareOptions, notify: @escaping @Sendable (PrepareEvent) -> Void) throws(CorpusError) {
    var sources: [Source] = []
    for input in options.inputs { sources.append(try Source(input: input, notify: notify)) }
    self.sources = sources
    self.options = options
    self.notify = notify
    listing = try InputListing(sources)
  }

  func run(in folder: WorkFolder) throws(CorpusError) -> (CleanedStore, CleaningProgress) {
    let place = try withFiles(try folder.folder(Self.folderName))
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
      let files = listing.fileCount(of: options.part)
      notify(.stage("reading \(counted(files, "file"))"))
      try CleaningStage(sources: sources, options: options, folder: place).run(store, &progress)
    }
    return (store, progress)
  }
}

extension WorkFolder {
  /// Runs what may fail: where a full disk or the network was at fault, what is there goes on later.
  func keepingWork<Result>(_ body: () throws(CorpusError) -> Result) throws(CorpusError) -> Result {
    do throws(CorpusError) {
      return try body()
    } catch {
      staysOnFailure = error.exitCode == ContractExit.output
      // The same command goes on behind what came.
      if case .download = error { staysOnFailure = true }
      throw error
    }
  }
}

extension PrepareOptions {
  /// The tokenizer that is given; nil where one is to be learned. What is wrong with it is found before any work.
  func takenTokenizer() throws(CorpusError) -> Tokenizer? {
    switch tokenizer {
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
