import Corpus
import Formats
import Foundation
import TestSupport
import Testing
import Tokenization

/// Prepares inputs of a folder into "out" in it.
@discardableResult
func prepare(
  _ inputs: [String], in folder: TemporaryFolder, to output: String = "out", val: Double = 0.05, test: Double = 0.05,
  vocabularySize: Int? = 300, notify: @escaping @Sendable (PrepareEvent) -> Void = { _ in }
) throws -> DatasetSummary {
  var options = try PrepareOptions(
    inputs: inputs.map { folder.file($0) }, output: folder.file(output), valFraction: val, testFraction: test)
  options.tokenizer = .learn(vocabularySize: vocabularySize, pattern: .gpt2)
  return try Preparation(options, notify: notify).run()
}

/// The texts of a split's documents.
func documents(of split: Split, in path: String) throws -> [String] {
  let data = try Dataset(path: path)
  let tokenizer = try #require(data.tokenizer)
  let end = try #require(tokenizer.endOfText)
  guard data.splits.contains(split) else { return [] }
  let ids = try data.shards(of: split).flatMap { try $0.read(0..<$0.count) }
  #expect(ids.last == end)
  return ids.split(separator: end, omittingEmptySubsequences: false).dropLast().map { tokenizer.decode($0) }
}

/// What a preparation has told. Unchecked: a lock guards it.
private final class Notices: @unchecked Sendable {
  private let lock = NSLock()
  private(set) var stages: [String] = []
  private(set) var warnings: [String] = []

  func add(_ event: PrepareEvent) {
    lock.withLock {
      switch event {
      case .stage(let text): stages.append(text)
      case .warning(let text): warnings.append(text)
      }
    }
  }
}

@Suite("Preparing text")
struct PreparationTests {
  /// A corpus of many small documents.
  private func writeDocuments(_ range: Range<Int>, to name: String, in folder: TemporaryFolder) throws {
    let lines = range.map { #"{"text": "Document number \#($0) of the corpus, with some words.\n"}"# }
    try folder.write(lines.joined(separator: "\n") + "\n", to: name)
  }

  @Test("texts come back from the shards as they went in, each document ended by its mark")
  func roundTrip() throws {
    let folder = try TemporaryFolder()
    try folder.write("Hello, wörld!\r\nA line with <|endoftext|> in it.\n", to: "in/a.txt")
    try folder.write("# 漢字\n\n😀 done", to: "in/sub/b.md")
    try folder.write(#"{"text": "from json"}"# + "\n\n" + #"{"text": "last", "more": 1}"#, to: "in/c.jsonl")
    let summary = try prepare(["in"], in: folder, val: 0, test: 0)
    #expect(
      try documents(of: .train, in: folder.file("out")) == [
        "Hello, wörld!\nA line with <|endoftext|> in it.\n", "from json", "last", "# 漢字\n\n😀 done",
      ])
    #expect(summary.documentsIn == 4 && summary.documentsKept == 4)
    #expect(summary.changedLineEnds == 1)
    #expect(try Dataset(path: folder.file("out")).splits == [.train])
    #expect(
      try FileSystem.names(in: folder.file("out")) == [
        "dataset.json", "report.html", "tokenizer.json", "train-00000.bin",
      ])
  }

  @Test("empty and repeated documents are dropped and counted; invalid UTF-8 is repaired and counted")
  func dropsAndRepairs() throws {
    let folder = try TemporaryFolder()
    try folder.write("", to: "in/0.txt")
    try folder.write(" \n\t\n", to: "in/1.txt")
    try folder.write("same\n", to: "in/2.txt")
    try folder.write("same\r\n", to: "in/3.txt")
    try folder.write(Array("bad ".utf8) + [0xFF, 0xE2, 0x82] + Array(" bytes".utf8), to: "in/4.txt")
    try folder.write([0xEF, 0xBB, 0xBF] + Array("marked".utf8), to: "in/5.txt")
    let notices = Notices()
    let summary = try prepare(["in"], in: folder, val: 0, test: 0, notify: notices.add)
    let warnings = notices.warnings
    #expect(summary.documentsIn == 6)
    #expect(summary.documentsKept == 3)
    #expect(summary.dropped == [.empty: 2, .exactDuplicate: 1])
    #expect(summary.invalidUTF8Documents == 1 && summary.invalidUTF8Sequences == 2)
    #expect(summary.byteOrderMarks == 1)
    #expect(warnings.contains { $0.contains("2 invalid UTF-8 sequences in 1 document") })
    #expect(try documents(of: .train, in: folder.file("out")) == ["same\n", "bad \u{FFFD}\u{FFFD} bytes", "marked"])
    let json = try FileSystem.readJSON(folder.file("out/dataset.json"))
    #expect(json["dropped"] == ["empty": 2, "exact_duplicate": 1])
    #expect(json["documents_in"]?.int == 6)
    #expect(json["bytes"]?["train"]?.int == 5 + 16 + 6)
  }

  @Test("other files in a folder are skipped with a warning, binary ones too, hidden ones without")
  func skips() throws {
    let folder = try TemporaryFolder()
    try folder.write("text", to: "in/a.txt")
    try folder.write("{}", to: "in/b.json")
    try folder.write([0, 1, 2], to: "in/c.txt")
    try folder.write("hidden", to: "in/.d.txt")
    let notices = Notices()
    let summary = try prepare(["in"], in: folder, val: 0, test: 0, notify: notices.add)
    let warnings = notices.warnings
    #expect(summary.documentsIn == 1)
    #expect(summary.sources[0].skippedUnsupported == 1 && summary.sources[0].skippedBinary == 1)
    #expect(warnings.contains { $0.contains("skipped 1 file that") || $0.contains("skipped 1 file") })
    #expect(warnings.count { $0.hasPrefix("in: skipped") } == 2)
  }

  @Test("a document's split stays when documents are added")
  func stableSplit() throws {
    let folder = try TemporaryFolder()
    try writeDocuments(0..<300, to: "a.jsonl", in: folder)
    try writeDocuments(300..<600, to: "b.jsonl", in: folder)
    try prepare(["a.jsonl"], in: folder, to: "small", val: 0.1, test: 0.1)
    let summary = try prepare(["b.jsonl", "a.jsonl"], in: folder, to: "large", val: 0.1, test: 0.1)
    #expect(summary.splitMethod == "hash")
    for split in Split.allCases {
      let small = Set(try documents(of: split, in: folder.file("small")))
      let large = Set(try documents(of: split, in: folder.file("large")))
      #expect(!small.isEmpty && small.isSubset(of: large))
    }
    #expect(abs((summary.splits[.val]?.documents ?? 0) - 60) < 30)
  }

  @Test("a corpus in which a wanted split would be empty is split by blocks, at line ends, and says so")
  func contiguous() throws {
    let folder = try TemporaryFolder()
    let lines = (0..<200).map { "line \($0) of one text\n" }
    try folder.write(lines.joined(), to: "a.txt")
    let notices = Notices()
    let summary = try prepare(["a.txt"], in: folder, val: 0.1, test: 0.2, notify: notices.add)
    let warnings = notices.warnings
    #expect(summary.splitMethod == "contiguous")
    #expect(warnings.contains { $0.contains("split by blocks") })
    let parts = try Split.allCases.map { try documents(of: $0, in: folder.file("out")) }
    #expect(parts.map(\.count) == [1, 1, 1])
    #expect(parts.joined().joined() == lines.joined())
    #expect(parts.joined().allSatisfy { $0.hasSuffix("\n") })
    let bytes = Double(lines.joined().utf8.count)
    #expect(abs(Double(summary.splits[.val]?.bytes ?? 0) / bytes - 0.1) < 0.02)
    #expect(abs(Double(summary.splits[.test]?.bytes ?? 0) / bytes - 0.2) < 0.02)
  }

  @Test("split by blocks, several documents stay whole where a cut can fall between them")
  func contiguousDocuments() throws {
    let folder = try TemporaryFolder()
    let names = (0..<20).map { "in/\($0 + 10).txt" }
    for name in names { try folder.write("the text of \(name), on one line", to: name) }
    let summary = try prepare(["in"], in: folder, val: 0.001, test: 0.2)
    // A thousandth of the corpus is less than a character: the split by hash surely leaves val empty.
    #expect(summary.splitMethod == "contiguous")
    #expect(try documents(of: .test, in: folder.file("out")).allSatisfy { $0.hasSuffix("on one line") })
    let all = try Split.allCases.flatMap { try documents(of: $0, in: folder.file("out")) }
    #expect(all.joined() == names.map { "the text of \($0), on one line" }.joined())
  }

  @Test("a document over 1 MiB is split by blocks while others go by their hash; no character is cut")
  func largeDocument() throws {
    let folder = try TemporaryFolder()
    let text = (0..<120_000).map { "漢\($0 % 10)字" }.joined()
    #expect(text.utf8.count > 3 << 18)
    try folder.write(text + text, to: "large.txt")
    try folder.write("small\n", to: "small.txt")
    let summary = try prepare(["large.txt", "small.txt"], in: folder, val: 0.1, test: 0.1)
    #expect(summary.splitMethod == "hash" && summary.largeDocuments == 1)
    let parts = try Split.allCases.map { try documents(of: $0, in: folder.file("out")).filter { $0 != "small\n" } }
    #expect(parts.map(\.count) == [1, 1, 1])
    #expect(parts.joined().joined() == text + text)
    #expect(!parts.joined().joined().unicodeScalars.contains("\u{FFFD}"))
  }

  @Test("the shortest texts are prepared without the splits that they have nothing for", arguments: ["a", "ab", "漢"])
  func shortest(text: String) throws {
    let folder = try TemporaryFolder()
    try folder.write(text, to: "a.txt")
    try prepare(["a.txt"], in: folder)
    let all = try Split.allCases.flatMap { try documents(of: $0, in: folder.file("out")) }
    #expect(all.joined() == text)
    #expect(try Dataset(path: folder.file("out")).splits.contains(.train))
  }

  @Test("equal input gives equal bytes, wherever it stands")
  func deterministic() throws {
    var outputs: [[[UInt8]]] = []
    for name in ["one", "two/deeper"] {
      let folder = try TemporaryFolder()
      try writeDocuments(0..<100, to: "\(name)/in/a.jsonl", in: folder)
      try folder.write("Some text.\n", to: "\(name)/in/b.txt")
      try prepare(["\(name)/in"], in: folder, val: 0.2, test: 0.2)
      outputs.append(try FileSystem.names(in: folder.file("out")).map { try folder.bytes(of: "out/\($0)") })
      let json = String(decoding: try folder.bytes(of: "out/dataset.json"), as: UTF8.self)
      #expect(!json.contains(folder.path) && !json.contains("deeper"))
    }
    #expect(outputs[0] == outputs[1])
  }

  @Test("the summary's hashes and counts are those of the files")
  func summaryMatchesFiles() throws {
    let folder = try TemporaryFolder()
    try writeDocuments(0..<200, to: "a.jsonl", in: folder)
    var options = try PrepareOptions(inputs: [folder.file("a.jsonl")], output: folder.file("out"))
    options.tokenizer = .learn(vocabularySize: 300, pattern: .gpt2)
    options.shardTokens = 500
    let summary = try Preparation(options).run()
    #expect(summary.shards.count > 3)
    for shard in summary.shards {
      #expect(try ContentHash(file: folder.file("out/\(shard.name)")).hex == shard.sha256)
      #expect(try TokenShard(path: folder.file("out/\(shard.name)")).count == shard.tokens)
    }
    #expect(try ContentHash(file: folder.file("out/tokenizer.json")).hex == summary.tokenizerSHA256)
    let data = try Dataset(path: folder.file("out"))
    for split in data.splits {
      #expect(data.tokenCount(of: split) == summary.splits[split]?.tokens)
      #expect(data.textBytes(of: split) == summary.splits[split]?.bytes)
      let bytes = TokenBytes(try #require(data.tokenizer))
      let ids = try data.shards(of: split).flatMap { try $0.read(0..<$0.count) }
      #expect(ids.reduce(0) { $0 + bytes[$1] } == summary.splits[split]?.bytes)
    }
    #expect(try FileSystem.readJSON(folder.file("out/dataset.json")) == summary.json)
  }

  @Test("a tokenizer that is given is taken, and one without an end mark is refused")
  func givenTokenizer() throws {
    let folder = try TemporaryFolder()
    try writeDocuments(0..<50, to: "a.jsonl", in: folder)
    try prepare(["a.jsonl"], in: folder, to: "first")
    var options = try PrepareOptions(inputs: [folder.file("a.jsonl")], output: folder.file("second"))
    options.tokenizer = .take(path: folder.file("first"))
    let summary = try Preparation(options).run()
    #expect(!summary.tokenizerLearned)
    #expect(try folder.bytes(of: "first/tokenizer.json") == folder.bytes(of: "second/tokenizer.json"))
    #expect(try folder.bytes(of: "first/train-00000.bin") == folder.bytes(of: "second/train-00000.bin"))

    let text = String(decoding: try folder.bytes(of: "first/tokenizer.json"), as: UTF8.self)
    try folder.write(text.replacing("<|endoftext|>", with: "<|other|>"), to: "other.json")
    options.output = folder.file("third")
    options.tokenizer = .take(path: folder.file("other.json"))
    #expect(throws: CorpusError.noEndOfText(path: folder.file("other.json"))) { try Preparation(options).run() }
    try folder.write("{", to: "broken.json")
    options.tokenizer = .take(path: folder.file("broken.json"))
    #expect((thrownError { _ = try Preparation(options).run() } as? CorpusError)?.exitCode == 65)
    #expect(!FileSystem.exists(folder.file("third")))
  }

  @Test("the report is one page without outside resources, in which texts are escaped")
  func report() throws {
    let folder = try TemporaryFolder()
    try folder.write("<script>alert('x' & \"y\")</script>\n", to: "in/<b>.txt")
    try prepare(["in/<b>.txt"], in: folder, val: 0, test: 0)
    let html = String(decoding: try folder.bytes(of: "out/report.html"), as: UTF8.self)
    #expect(html.hasPrefix("<!doctype html>"))
    #expect(!html.contains("<script") && !html.contains("<b>.txt"))
    #expect(html.contains("&lt;script&gt;alert(&#39;x&#39; &amp; &quot;y&quot;)&lt;/script&gt;"))
    #expect(html.contains("&lt;b&gt;.txt"))
    #expect(!html.contains("http:") && !html.contains("https:") && !html.contains("src="))
    #expect(html.contains("prefers-color-scheme") || html.contains("color-scheme: light dark"))
  }
}

@Suite("Preparing bad input")
struct BadInputTests {
  private func error(
    _ inputs: [String], in folder: TemporaryFolder, val: Double = 0.05, vocabularySize: Int? = 300
  ) -> CorpusError? {
    let error = thrownError { try prepare(inputs, in: folder, val: val, vocabularySize: vocabularySize) }
    #expect(!FileSystem.exists(folder.file("out")))
    #expect((try? folder.names().contains { $0.contains(".tmp-") || $0.hasSuffix(".preparing") }) == false)
    return error as? CorpusError
  }

  @Test("a missing file, an empty file, a folder without text and a binary file are told apart")
  func inputs() throws {
    let folder = try TemporaryFolder()
    #expect(error(["none.txt"], in: folder) == .file(.missing(path: folder.file("none.txt"))))

    try folder.write("", to: "empty.txt")
    #expect(error(["empty.txt"], in: folder) == .nothingLeft(documents: 1, dropped: ["1 empty"]))
    try folder.write("\n\n", to: "empty.jsonl")
    #expect(error(["empty.jsonl"], in: folder) == .nothingLeft(documents: 0, dropped: []))

    try folder.write([0], to: "folder/image.png")
    #expect(error(["folder"], in: folder) == .noText(folder: folder.file("folder"), skipped: 1))

    for bytes in [[0, 1, 2], [UInt8](repeating: 3, count: 100), [0x89, 0x50, 0, 0x0D, 0xFF], Array("a\0b".utf8)] {
      try folder.write(bytes, to: "binary.txt")
      guard case .binary = error(["binary.txt"], in: folder) else {
        Issue.record("\(bytes)")
        continue
      }
    }
    try folder.write("text", to: "page.docx")
    let unsupported = CorpusError.unsupportedFormat(path: folder.file("page.docx"), fileExtension: "docx")
    #expect(error(["page.docx"], in: folder) == unsupported)
    #expect(unsupported.exitCode == 65)
  }

  @Test(
    "a bad line is named by file and number",
    arguments: [
      #"{"text": "ok""#, "text", "[1]", #"{"txt": "a"}"#, #"{"text": 3}"#, "{}",
      #"{"text": "\u12g4"}"#,
    ])
  func badLines(line: String) throws {
    let folder = try TemporaryFolder()
    try folder.write("{\"text\": \"fine\"}\n\n" + line + "\n", to: "a.jsonl")
    guard case .badLine(folder.file("a.jsonl"), line: 3, let problem) = error(["a.jsonl"], in: folder) else {
      Issue.record("no error for \(line)")
      return
    }
    #expect(!problem.isEmpty)
  }

  @Test("lines longer than a block, and a last line without an end, are read")
  func longLines() throws {
    let folder = try TemporaryFolder()
    let long = String(repeating: "word ", count: 500_000)
    try folder.write("{\"text\": \"\(long)\"}\n{\"text\": \"last\"}", to: "a.jsonl")
    #expect(try prepare(["a.jsonl"], in: folder, val: 0, test: 0).documentsKept == 2)
    #expect(try documents(of: .train, in: folder.file("out")) == [long, "last"])
  }

  @Test("impossible settings are errors that name them")
  func settings() throws {
    let folder = try TemporaryFolder()
    try folder.write("text", to: "a.txt")
    for (val, test) in [(-0.1, 0.0), (1.0, 0.0), (0.0, 1.5), (0.5, 0.5), (.nan, 0.0), (0.0, .infinity)] {
      let error = thrownError { _ = try prepare(["a.txt"], in: folder, val: val, test: test) } as? CorpusError
      guard case .setting = error else {
        Issue.record("\(val), \(test)")
        continue
      }
      #expect(error?.exitCode == 65)
    }
    for size in [-1, 0, 256, 1 << 30] {
      guard case .setting(name: "--vocab-size", _, _) = error(["a.txt"], in: folder, vocabularySize: size) else {
        Issue.record("\(size)")
        continue
      }
    }
  }

  @Test("an output that can't be written, or is there already, is found before any work, with exit code 73")
  func output() throws {
    let folder = try TemporaryFolder()
    try folder.write("text", to: "a.txt")
    try folder.write("mine", to: "full/file")
    for output in ["full", "a.txt", "a.txt/out"] {
      let notices = Notices()
      let error = thrownError { try prepare(["a.txt"], in: folder, to: output, notify: notices.add) }
      #expect((error as? CorpusError)?.exitCode == 73, "\(output)")
      #expect(notices.stages.isEmpty)
    }
    #expect(try folder.bytes(of: "full/file") == Array("mine".utf8))
  }
}
