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
        <h2>What was kept, dropped and repaired</h2>
        \(documents)
        <h2>Sources</h2>
        \(sources)
        <h2>Lengths of documents</h2>
        <p class="note">Tokens per document, the end mark included; each bar covers lengths up to twice those before.</p>
        \(histogram)
        <h2>Vocabulary</h2>
        \(vocabulary)
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
    var rows = [
      row(["read", grouped(summary.documentsIn), ""]),
      row(["kept", grouped(summary.documentsKept), ""]),
    ]
    for rule in DropRule.allCases {
      guard let count = summary.dropped[rule] ?? (rule == .empty || rule == .exactDuplicate ? 0 : nil) else { continue }
      rows.append(row(["dropped: " + escaped(named(rule.rawValue)), grouped(count), escaped(rule.meaning)]))
    }
    let sequences = counted(summary.invalidUTF8Sequences, "sequence")
    rows += [
      row(["repaired: invalid UTF-8", grouped(summary.invalidUTF8Documents), "\(sequences) became U+FFFD"]),
      row(["repaired: line ends", grouped(summary.changedLineEnds), "CR LF and CR became LF"]),
      row(["repaired: byte-order mark", grouped(summary.byteOrderMarks), "removed"]),
    ]
    rows += summary.converted.map { row(["files converted from " + escaped($0.name), grouped($0.count), ""]) }
    rows += summary.repaired.filter { !DatasetSummary.usualRepairs.contains($0.name) }.map {
      row(["repaired: " + escaped(named($0.name)), grouped($0.count), ""])
    }
    rows += summary.personalData.map {
      row(["replaced: " + escaped(named($0.name)), grouped($0.count), "by a placeholder"])
    }
    rows += summary.languages.map { row(["language: " + escaped($0.name), grouped($0.count), ""]) }
    return table(["documents", "number", ""], rows) + dropped
  }

  /// Documents that were left out, as they were.
  private var dropped: String {
    let figures = DropRule.allCases.flatMap { rule in
      (examples.examples[rule] ?? []).map { example in
        "<figure><pre>\(escaped(example.text))</pre><figcaption>\(escaped(named(rule.rawValue))): "
          + "\(escaped(rule.meaning))</figcaption></figure>"
      }
    }
    return figures.isEmpty ? "" : "<h3>Some that were left out</h3>" + figures.joined(separator: "\n")
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
    guard let first = bins.firstIndex(where: { $0 > 0 }), let largest = bins.max() else { return "" }
    let width = 44
    let height = 140
    var bars = ""
    for (index, bin) in (first..<bins.count).enumerated() {
      let bar = (bins[bin] * height + largest - 1) / largest
      let x = index * width
      bars += """
        <rect x="\(x + 4)" y="\(20 + height - bar)" width="\(width - 8)" height="\(bar)"/>\
        <text x="\(x + width / 2)" y="\(15 + height - bar)">\(bins[bin] == 0 ? "" : grouped(bins[bin]))</text>\
        <text x="\(x + width / 2)" y="\(height + 36)">&lt;\(short(1 << bin))</text>
        """
    }
    return """
      <svg viewBox="0 0 \((bins.count - first) * width) \(height + 42)" role="img" \
      aria-label="Number of documents by length in tokens">\(bars)</svg>
      """
  }

  private var vocabulary: String {
    let kind = summary.tokenizerLearned ? "learned from the training split" : "taken as given"
    let pattern = summary.tokenizerPattern.map { ", words cut by the \($0) pattern" } ?? ""
    let frequent = sample.mostFrequent(60).map { entry in
      "<li><code>\(escaped(visible(entry.id)))</code> \(grouped(entry.count))</li>"
    }
    return """
      <p>\(grouped(summary.vocabularySize)) tokens, \(kind)\(escaped(pattern)); \(grouped(sample.unusedTokens)) of \
      them don't occur in the training split. The most frequent ones:</p>
      <ul class="tokens">\(frequent.joined())</ul>
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

  private func rounded(_ value: Double) -> String {
    let hundredths = Int((value * 100).rounded())
    let fraction = hundredths % 100
    return "\(hundredths / 100).\(fraction < 10 ? "0" : "")\(fraction)"
  }
}
