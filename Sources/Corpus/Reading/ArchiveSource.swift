import Formats

/// The documents of the files of an archive, in the archive's order.
final class ArchiveSource: DocumentSource {
  private let opener: FileOpener
  private let nextEntry: () throws(FormatError) -> (name: String, stream: any ByteStream)?
  private var current: (any DocumentSource)?

  init(opener: FileOpener, nextEntry: @escaping () throws(FormatError) -> (name: String, stream: any ByteStream)?) {
    self.opener = opener
    self.nextEntry = nextEntry
  }

  func next() throws(CorpusError) -> RawDocument? {
    while true {
      if let document = try current?.next() { return document }
      guard let entry = try withFiles(try nextEntry()) else { return nil }
      current = try opener.open(entry: entry.stream, name: entry.name)
    }
  }
}
