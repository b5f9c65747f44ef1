package import Formats

/// What went into a data set and what came out: the content of `dataset.json`.
///
/// It names no clock, host or path, so that equal input gives equal bytes.
package struct DatasetSummary: Sendable {
  package struct SourceStatistics: Sendable {
    package var name: String
    package var files = 0
    package var skippedUnsupported = 0
    package var skippedBinary = 0
    package var skippedPDF = 0
    package var documentsIn = 0
    package var documentsKept = 0
    package var bytesKept = 0
  }

  package struct SplitStatistics: Sendable, Equatable {
    /// Documents, and parts of documents that are split by blocks.
    package var documents = 0
    /// UTF-8 bytes of text; the marks at the ends of documents don't count.
    package var bytes = 0
    /// Tokens, the marks included.
    package var tokens = 0
  }

  package struct Shard: Sendable {
    package var name: String
    package var split: Split
    package var tokens: Int
    package var sha256: String
  }

  package var documentsIn = 0
  package var documentsKept = 0
  package var dropped: [DropRule: Int] = [:]
  /// Files that were converted, by their encoding.
  package var converted: [(name: String, count: Int)] = []
  /// What was changed in documents, by its name: what always is, then what was asked for.
  package var repaired: [(name: String, count: Int)] = []
  package var personalData: [(name: String, count: Int)] = []
  package var languages: [(name: String, count: Int)] = []
  /// Lines that were taken out of many documents: how many different ones, and those of the most; nil: nobody looked for them.
  package var repeatedLines: (different: Int, examples: [(documents: Int, text: String)])?
  package var splitMethod = ""
  package var largeDocuments = 0
  package var valFraction = 0.0
  package var testFraction = 0.0
  package var seed: UInt64 = 0
  package var splits: [Split: SplitStatistics] = [:]
  package var vocabularySize = 0
  package var tokenizerPattern: String?
  package var tokenizerLearned = false
  package var tokenizerSHA256 = ""
  package var sources: [SourceStatistics] = []
  package var shards: [Shard] = []

  package static let fileName = "dataset.json"

  package init() {}

  package var json: JSON {
    var droppedCounts = JSONObject()
    // The two that are always looked for, and what else there is.
    for rule in DropRule.allCases where rule == .empty || rule == .exactDuplicate || dropped[rule] != nil {
      droppedCounts[rule.rawValue] = JSON(dropped[rule] ?? 0)
    }
    var split = JSONObject()
    split["method"] = JSON(splitMethod)
    split["val_fraction"] = JSON(valFraction)
    split["test_fraction"] = JSON(testFraction)
    // Data that was made without one stays as it is.
    if seed != 0 { split["seed"] = JSON(seed: seed) }
    split["documents_split_by_blocks"] = JSON(largeDocuments)
    let json: JSON = [
      "format": "mayfly-dataset",
      "version": 1,
      "documents_in": JSON(documentsIn),
      "documents_kept": JSON(documentsKept),
      "dropped": .object(droppedCounts),
      "repaired": Self.object(repaired),
      "converted": Self.object(converted),
      "personal_data": Self.object(personalData),
      "languages": Self.object(languages),
      "split": .object(split),
      "documents": perSplit(\.documents),
      "bytes": perSplit(\.bytes),
      "tokens": perSplit(\.tokens),
      "vocab_size": JSON(vocabularySize),
      "tokenizer": [
        "file": "tokenizer.json",
        "sha256": JSON(tokenizerSHA256),
        "learned": JSON(tokenizerLearned),
        "pattern": tokenizerPattern.map { JSON($0) } ?? .null,
      ],
      "sources": JSON(sources.map(\.json)),
      "shards": JSON(shards.map(\.json)),
    ]
    guard let repeatedLines, var object = json.object else { return json }
    object["repeated_lines"] = [
      "different": JSON(repeatedLines.different),
      "examples": JSON(repeatedLines.examples.map { ["documents": JSON($0.documents), "line": JSON($0.text)] }),
    ]
    return .object(object)
  }

  mutating func add(_ found: RepeatedLines.Found, _ removal: LineRemoval) {
    repeatedLines = (found.lines, removal.examples)
    repaired.append(("repeated_lines", removal.linesRemoved))
    repaired.append(("repeated_lines_documents", removal.documentsChanged))
    if !removal.emptied.isEmpty { dropped[.onlyRepeatedLines] = removal.emptied.count }
  }

  /// Repairs that are done to every text.
  static let usualRepairs = [
    "invalid_utf8_documents", "invalid_utf8_sequences", "line_ends", "byte_order_marks", "invalid_characters",
  ]

  package var invalidUTF8Documents: Int { repairs("invalid_utf8_documents") }
  package var invalidUTF8Sequences: Int { repairs("invalid_utf8_sequences") }
  package var changedLineEnds: Int { repairs("line_ends") }
  package var byteOrderMarks: Int { repairs("byte_order_marks") }
  var invalidCharacters: Int { repairs("invalid_characters") }

  private func repairs(_ name: String) -> Int { repaired.first { $0.name == name }?.count ?? 0 }

  private static func object(_ counts: [(name: String, count: Int)]) -> JSON {
    var object = JSONObject()
    for (name, count) in counts { object[name] = JSON(count) }
    return .object(object)
  }

  private func perSplit(_ value: (SplitStatistics) -> Int) -> JSON {
    var object = JSONObject()
    for split in Split.allCases {
      if let statistics = splits[split] { object[split.rawValue] = JSON(value(statistics)) }
    }
    return .object(object)
  }
}

extension DatasetSummary.SourceStatistics {
  var json: JSON {
    [
      "files": JSON(files),
      "files_skipped": [
        "unsupported": JSON(skippedUnsupported), "binary": JSON(skippedBinary), "pdf": JSON(skippedPDF),
      ],
      "documents_in": JSON(documentsIn),
      "documents_kept": JSON(documentsKept),
      "bytes_kept": JSON(bytesKept),
    ]
  }
}

extension DatasetSummary.Shard {
  var json: JSON {
    ["file": JSON(name), "split": JSON(split.rawValue), "tokens": JSON(tokens), "sha256": JSON(sha256)]
  }
}
