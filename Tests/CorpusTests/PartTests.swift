import Corpus
import Formats
import TestSupport
import Testing
import Tokenization

@Suite("Parts of a corpus")
struct PartTests {
  @Test("are named by i/n with i below n", arguments: [("0/1", 0, 1), ("2/7", 2, 7), ("9999/10000", 9999, 10_000)])
  func numbers(_ text: String, index: Int, count: Int) throws {
    let part = try PartNumber(text)
    #expect(part.index == index && part.count == count)
  }

  @Test(
    "of any other name are an error",
    arguments: ["", "/", "1", "1/1", "-1/2", "0/0", "0/10001", "0/2/", " 0/2", "٠/٢"])
  func noNumbers(_ text: String) {
    #expect(throws: CorpusError.self) { try PartNumber(text) }
  }

  /// The parts of a corpus in a folder, cleaned.
  private func cleaned(
    _ folder: TemporaryFolder, _ count: Int, _ change: (inout PrepareOptions) -> Void
  ) throws -> [String] {
    try (0..<count).map { index in
      let path = folder.file("part-\(index)")
      var options = try PrepareOptions(inputs: [folder.file("in")], output: path)
      change(&options)
      options.part = try PartNumber("\(index)/\(count)")
      _ = try PartPreparation(options).run()
      return path
    }
  }

  @Test("give what one run gives, with options that the command line doesn't have, too")
  func merge() throws {
    let folder = try TemporaryFolder()
    for index in 0..<40 {
      let text = "Document number \(index % 30) of the corpus, with 1234567 words in 2026.\n"
      try folder.write(text, to: "in/\(index).txt")
    }
    func change(_ options: inout PrepareOptions) {
      options.tokenizer = .learn(vocabularySize: 280, pattern: .cl100k(digits: 2))
      options.seed = .max
    }
    var options = try PrepareOptions(inputs: [folder.file("in")], output: folder.file("whole"))
    change(&options)
    let whole = try Preparation(options).run()
    let parts = try cleaned(folder, 3, change)
    let merged = try PartMerge(
      try PrepareOptions(inputs: parts.reversed(), output: folder.file("merged")), DatasetChoices()
    ).run()
    #expect(whole.json == merged.json)
    #expect(whole.documentsKept == 30 && whole.seed == .max)
    for name in try FileSystem.names(in: folder.file("whole")) {
      let (one, other) = (Path.join(folder.file("whole"), name), Path.join(folder.file("merged"), name))
      #expect(try FileSystem.read(one) == FileSystem.read(other))
    }
  }

  @Test("that are missing are named")
  func missing() throws {
    let folder = try TemporaryFolder()
    try folder.write("a text", to: "in/a.txt")
    let parts = try cleaned(folder, 3) { _ in }
    let options = try PrepareOptions(inputs: [parts[1]], output: folder.file("out"))
    #expect(throws: CorpusError.missingParts([0, 2], count: 3)) { try PartMerge(options, DatasetChoices()).run() }
  }
}
