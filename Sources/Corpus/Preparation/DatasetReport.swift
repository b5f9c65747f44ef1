import Formats
import Tokenization

/// `report.html`: one page that says what is in a data set, without anything from outside.
struct DatasetReport {
  let summary: DatasetSummary
  let sample: CorpusSample
  let examples: DropExamples
  let tokenizer: Tokenizer

  var html: String {
    HTML.page(
      title: "Data set report",
      body: """
        \(cards)
        <h2>Splits</h2>
        \(splits)
        <h2>What became of the documents</h2>
        \(documents)
        \(languages)
        <h2>What was changed in them</h2>
        \(changes)
        <h2>Sources</h2>
        \(sources)
        <h2>Lengths of documents</h2>
        <p class="note">Tokens per document, the end mark included; each bar covers lengths up to twice those before.</p>
        \(histogram)
        <h2>Vocabulary</h2>
        \(vocabulary)
        <h2>Bytes per token</h2>
        <p class="note">How often the training split uses tokens of so many bytes.</p>
        \(tokenLengths)
        <h2>Samples from the training split</h2>
        \(samples)
        """)
  }

  // MARK: Sections

  private var cards: String {
    let tokens = summary.splits.values.reduce(0) { $0 + $1.tokens }
    let bytes = summary.splits.values.reduce(0) { $0 + $1.bytes }
    let perToken = tokens == 0 ? 0 : Double(bytes) / Double(tokens)
    let cards = [
      ("documents", grouped(summary.documentsKept)), ("bytes of text", grouped(bytes)), ("tokens", grouped(tokens)),
      ("vocabulary", grouped(summary.vocabularySize)), ("bytes per token", rounded(perToken)),
    ]
    return HTML.cards(cards.map { (name: $0.0, value: $0.1) })
  }

  private var splits: String {
    let total = summary.splits.values.reduce(0) { $0 + $1.tokens }
    let rows = Split.allCases.compactMap { split -> String? in
      guard let statistics = summary.splits[split] else { return nil }
      let share = total == 0 ? 0 : 100 * Double(statistics.tokens) / Double(total)
      return row([
        split.rawValue, grouped(statistics.documents), grouped(statistics.bytes), grouped(statistics.tokens),
        "<span class=\"bar\" style=\"width:\(rounded(share * 1.2))px\"></span> \(rounded(share)) %",
      ])
    }
    let seed = summary.seed == 0 ? "" : " and the seed \(summary.seed)"
    let how =
      summary.splitMethod == SplitRule.Method.contiguous.rawValue
      ? "The corpus is split by blocks (train, then val, then test), because a split by documents would have left one "
        + "empty."
      : "Each document's split follows from a hash of its text\(seed), so it never changes when others are added."
        + (summary.largeDocuments > 0
          ? " \(counted(summary.largeDocuments, "document")) over 1 MiB split by blocks." : "")
    return table(["split", "documents", "bytes", "tokens", "share of tokens"], rows)
      + "<p class=\"note\">\(how)</p>"
  }

  private var documents: String {
    var bars = [(name: "kept", value: summary.documentsKept, note: "")]
    for rule in DropRule.allCases {
      guard let count = summary.dropped[rule], count > 0 else { continue }
      bars.append(("dropped: " + named(rule.rawValue), count, rule.meaning))
    }
    let read = summary.documentsIn
    return "<p>\(grouped(read)) read, \(HTML.percent(summary.documentsKept, of: read)) of them kept.</p>"
      + HTML.bars(bars, of: read) + dropped
  }

  private var languages: String {
    guard !summary.languages.isEmpty else { return "" }
    let found = summary.languages.sorted { ($1.count, $0.name) < ($0.count, $1.name) }
    let bars = found.prefix(20).map { (name: $0.name, value: $0.count, note: "") }
    let rest = found.count > 20 ? "<p class=\"note\">and \(counted(found.count - 20, "language")) more</p>" : ""
    return "<h3>Languages</h3>" + HTML.bars(bars, of: found.reduce(0) { $0 + $1.count }) + rest
  }

  private var changes: String {
    let sequences = counted(summary.invalidUTF8Sequences, "sequence")
    var rows = [
      row(["invalid UTF-8", grouped(summary.invalidUTF8Documents), "documents; \(sequences) became U+FFFD"]),
      row(["line ends", grouped(summary.changedLineEnds), "CR LF and CR became LF"]),
      row(["byte-order mark", grouped(summary.byteOrderMarks), "removed"]),
    ]
    rows += summary.converted.map { row(["files converted from " + escaped($0.name), grouped($0.count), ""]) }
    rows += summary.repaired.filter { !DatasetSummary.usualRepairs.contains($0.name) }.map {
      row([escaped(named($0.name)), grouped($0.count), ""])
    }
    rows += summary.personalData.map {
      row(["personal data: " + escaped(named($0.name)), grouped($0.count), "replaced by a placeholder"])
    }
    return table(["", "number", ""], rows) + repeatedLines
  }

  private var repeatedLines: String {
    guard let found = summary.repeatedLines, !found.examples.isEmpty else { return "" }
    let bars = found.examples.map { (name: $0.text, value: $0.documents, note: "") }
    return "<h3>Lines that stood in the most documents</h3>" + HTML.bars(bars, of: nil, isCode: true)
  }

  /// Documents that were left out, as they were.
  private var dropped: String {
    let figures = DropRule.allCases.flatMap { rule in
      (examples.examples[rule] ?? []).map { example in
        "<figure><pre>\(escaped(example.text))</pre><figcaption>\(escaped(named(rule.rawValue))): "
          + "\(escaped(rule.meaning))</figcaption></figure>"
      }
    }
    guard !figures.isEmpty else { return "" }
    return "<details><summary>Some that were left out</summary>\(figures.joined(separator: "\n"))</details>"
  }

  private func named(_ key: String) -> String { key.replacing("_", with: " ") }

  private var sources: String {
    let rows = summary.sources.map { source in
      row([
        escaped(source.name), grouped(source.files),
        grouped(source.skippedUnsupported + source.skippedBinary + source.skippedPDF),
        grouped(source.documentsIn), grouped(source.documentsKept), grouped(source.bytesKept),
      ])
    }
    return table(["source", "files", "files skipped", "documents", "kept", "bytes kept"], rows)
  }

  private var histogram: String {
    let bins = sample.lengths
    guard let first = bins.firstIndex(where: { $0 > 0 }) else { return "" }
    return columns(
      bins[first...].enumerated().map { (name: "<\(short(1 << (first + $0)))", value: $1) },
      label: "Number of documents by length in tokens")
  }

  private var tokenLengths: String {
    var uses: [Int] = []
    for (id, count) in sample.frequencies.enumerated() where count > 0 {
      // All that is longer stands in the last column.
      let bytes = min(tokenizer.token(Int32(id))?.count ?? 0, 16)
      if bytes >= uses.count { uses += Array(repeating: 0, count: bytes + 1 - uses.count) }
      uses[bytes] += count
    }
    return columns(
      uses.enumerated().dropFirst().map { (name: $0 == 16 ? "16+" : "\($0)", value: $1) },
      label: "Uses of tokens by their length in bytes")
  }

  private func columns(_ columns: [(name: String, value: Int)], label: String) -> String {
    guard let largest = columns.map(\.value).max(), largest > 0 else { return "" }
    let width = 44
    let height = 140
    var bars = ""
    for (index, column) in columns.enumerated() {
      let bar = Int((Double(column.value) / Double(largest) * Double(height)).rounded(.up))
      let x = index * width
      bars += """
        <rect x="\(x + 4)" y="\(20 + height - bar)" width="\(width - 8)" height="\(bar)"/>\
        <text x="\(x + width / 2)" y="\(15 + height - bar)">\(column.value == 0 ? "" : compact(column.value))</text>\
        <text x="\(x + width / 2)" y="\(height + 36)">\(HTML.escaped(column.name))</text>
        """
    }
    return """
      <svg viewBox="0 0 \(columns.count * width) \(height + 42)" role="img" aria-label="\(label)">\(bars)</svg>
      """
  }

  private var vocabulary: String {
    let kind = summary.tokenizerLearned ? "learned from the training split" : "taken as given"
    let pattern = summary.tokenizerPattern.map { ", words cut by the \($0) pattern" } ?? ""
    let frequent = sample.mostFrequent(60)
    let first = frequent.prefix(12).map { (name: visible($0.id), value: $0.count, note: "") }
    let others = frequent.dropFirst(12).map { entry in
      "<li><code>\(escaped(visible(entry.id)))</code> \(grouped(entry.count))</li>"
    }
    return """
      <p>\(grouped(summary.vocabularySize)) tokens, \(kind)\(escaped(pattern)); \(grouped(sample.unusedTokens)) of \
      them don't occur in the training split. The most frequent ones:</p>
      \(HTML.bars(first, of: sample.frequencies.reduce(0, +), isCode: true))
      <ul class="tokens">\(others.joined())</ul>
      """
  }

  private var samples: String {
    sample.documents.map { document in
      "<figure><pre>\(escaped(document.text))</pre><figcaption>\(grouped(document.bytes)) bytes</figcaption></figure>"
    }.joined(separator: "\n")
  }

  /// A token's text with its white space made visible.
  private func visible(_ id: Int32) -> String {
    let text = String(decoding: tokenizer.token(id) ?? [], as: UTF8.self)
    return String(
      String.UnicodeScalarView(
        text.unicodeScalars.flatMap { scalar -> [Unicode.Scalar] in
          switch scalar {
          case " ": ["␣"]
          case "\n": ["⏎"]
          case "\t": ["⇥"]
          default: scalar.value < 0x20 ? ["�"] : [scalar]
          }
        }))
  }

  // MARK: HTML

  private func table(_ heads: [String], _ rows: [String]) -> String { HTML.table(heads, rows) }
  private func row(_ cells: [String]) -> String { HTML.row(cells) }
  private func escaped(_ text: String) -> String { HTML.escaped(text) }
  private func grouped(_ number: Int) -> String { HTML.grouped(number) }

  private func short(_ number: Int) -> String {
    if number >= 1 << 20 { return "\(number >> 20)M" }
    return number >= 1 << 10 ? "\(number >> 10)K" : "\(number)"
  }

  private func compact(_ number: Int) -> String {
    if number < 10_000 { return grouped(number) }
    return number < 10_000_000 ? "\(grouped(number / 1000))k" : "\(grouped(number / 1_000_000))M"
  }

  private func rounded(_ value: Double) -> String {
    let hundredths = Int((value * 100).rounded())
    let fraction = hundredths % 100
    return "\(hundredths / 100).\(fraction < 10 ? "0" : "")\(fraction)"
  }
}
