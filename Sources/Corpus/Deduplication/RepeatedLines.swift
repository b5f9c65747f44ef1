import Formats
import Tokenization

/// Finds lines and paragraphs that stand in many documents of a corpus, and so are the text of none: menus, notices, licences.
///
/// As paragraphs in Wenzek et al., "CCNet: Extracting High Quality Monolingual Datasets from Web Crawl Data", LREC
/// 2020, but as they stand, and only from so many documents on: a quotation or a refrain stays. Documents that were
/// dropped don't count, or copies of a page would take all of its lines out.
struct RepeatedLines {
  /// The documents in which they are looked for.
  let kept: KeptDocuments
  /// Where what doesn't fit in memory is kept.
  let folder: String
  let memory: Int

  /// A line that more documents have is taken out of all of them.
  static let mostDocuments = 10
  /// Of shorter lines many are equal by chance. Characters of scripts without spaces count as three, so that it is 10
  /// of these.
  static let fewestCharacters = 30
  private static let mostExamples = 10

  struct Found {
    /// The lines of each document that are to go: pairs of a document and a line's key, in the order of both.
    var places: SpillSorter
    /// How many different ones.
    var lines = 0
    /// Those in the most documents, the most frequent first; the same for any order of documents.
    fileprivate(set) var examples: [(key: UInt64, documents: Int)] = []

    fileprivate mutating func add(_ key: UInt64, documents: Int) {
      lines += 1
      let place = examples.firstIndex { $0.documents < documents || $0.documents == documents && key < $0.key }
      examples.insert((key, documents), at: place ?? examples.count)
      if examples.count > RepeatedLines.mostExamples { examples.removeLast() }
    }
  }

  func find() throws(CorpusError) -> Found {
    var sorter = SpillSorter(in: folder, memory: memory / 2)
    let next = kept.batches()
    var lines = DocumentLines()
    while let batch = try next() {
      for document in batch.documents {
        let text = batch.texts[document.range]
        try kept.check(text, of: document)
        // Keys of one document; most have no line twice, and the sorter's order brings the others together.
        var keys: [UInt64] = []
        text.withUnsafeBytes { text in
          lines.find(in: text)
          Self.forEachPassage(of: lines, in: text) { key, _ in keys.append(key) }
        }
        for key in keys { try sorter.add(key, document: document.number) }
      }
    }
    return try places(of: &sorter)
  }

  /// - Parameter sorter: keys of lines and their documents.
  private func places(of sorter: inout SpillSorter) throws(CorpusError) -> Found {
    var found = Found(places: SpillSorter(in: folder, memory: memory / 2))
    var key: UInt64?
    // Of the line with this key: in how many documents it stands, the last of them, and the first few.
    var (documents, last) = (0, -1)
    var first: [Int] = []
    try sorter.forEach { (pair) throws(CorpusError) in
      let document = Int(pair.document)
      if pair.key != key {
        if let key, documents > Self.mostDocuments { found.add(key, documents: documents) }
        (key, documents, last) = (pair.key, 0, -1)
        first.removeAll(keepingCapacity: true)
      }
      guard document != last else { return }
      last = document
      documents += 1
      if documents <= Self.mostDocuments {
        first.append(document)
        return
      }
      for document in first { try found.places.add(UInt64(document), document: Int(pair.key)) }
      first.removeAll(keepingCapacity: true)
      try found.places.add(UInt64(document), document: Int(pair.key))
    }
    if let key, documents > Self.mostDocuments { found.add(key, documents: documents) }
    return found
  }

  /// The keys of lines, and of paragraphs with lines that are too short to have one; with the numbers of their lines.
  static func forEachPassage(
    of lines: DocumentLines, in text: UnsafeRawBufferPointer, _ body: (_ key: UInt64, _ lines: Range<Int>) -> Void
  ) {
    lines.forEachParagraph { paragraph in
      var known = 0
      for line in paragraph {
        guard let key = key(of: UnsafeRawBufferPointer(rebasing: text[lines.lines[line]])) else { continue }
        body(key, line..<line + 1)
        known += 1
      }
      guard known < paragraph.count, paragraph.count > 1,
        let key = key(of: UnsafeRawBufferPointer(rebasing: text[lines.bytes(of: paragraph)]))
      else { return }
      body(key, paragraph)
    }
  }

  /// What a line is known by, of 63 bits, which an Int holds; nil for one that is too short.
  static func key(of line: UnsafeRawBufferPointer) -> UInt64? {
    // No character of fewer than three bytes counts as three.
    guard line.count >= fewestCharacters else { return nil }
    var (place, characters) = (0, 0)
    while place < line.count, characters < fewestCharacters {
      if line[place] < 0x80 {
        place += 1
        characters += 1
      } else {
        let (scalar, width) = DocumentWords.scalar(line, at: place)
        place += width
        characters += DocumentWords.isUnspaced(scalar) ? 3 : 1
      }
    }
    return characters >= fewestCharacters ? hashBytes(line) >> 1 : nil
  }
}
