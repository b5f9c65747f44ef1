import Corpus
import Formats
import TestSupport
import Testing

@Suite("Data set")
struct DatasetTests {
  @Test("a lone shard has a train split only")
  func loneShard() throws {
    let folder = try TemporaryFolder()
    _ = try makeShard([1, 2, 3], "some.bin", in: folder)
    let path = folder.file("some.bin")
    let data = try Dataset(path: path)
    #expect(data.splits == [.train])
    #expect(data.tokenizer == nil)
    #expect(data.vocabularySize == nil)
    #expect(data.tokenCount(of: .train) == 3)
    #expect(data.tokenCount(of: .val) == 0)
    #expect(throws: CorpusError.noSplit(path: path, split: .val, present: [.train])) { try data.shards(of: .val) }
  }

  @Test("a folder of shards gives its splits, each in the order of the names")
  func folderOfShards() throws {
    let folder = try TemporaryFolder()
    for (name, id) in [("train_1.bin", 1), ("train_0.bin", 0), ("val.bin", 7), ("other.bin", 9)] as [(String, Int32)] {
      _ = try makeShard([id, id], name, in: folder)
    }
    #expect(try DataKind.detect(folder.path) == .shards)
    let data = try Dataset(path: folder.path)
    #expect(data.splits == [.train, .val])
    #expect(try data.shards(of: .train).map { try $0.read(0..<1)[0] } == [0, 1])
    #expect(data.tokenCount(of: .val) == 2)
  }

  @Test("an id beyond the vocabulary is named with its shard and place")
  func badID() throws {
    let folder = try TemporaryFolder()
    _ = try makeShard([1, 2, 3], "train-0.bin", in: folder)
    _ = try makeShard([1, 2, 300, 4], "val-0.bin", in: folder)
    let data = try Dataset(path: folder.path)
    try data.validate(vocabularySize: 301)
    let problem = TokenShardProblem.idBeyondVocabulary(position: 2, id: 300, vocabularySize: 300)
    let error = CorpusError.file(.shard(path: folder.file("val-0.bin"), problem))
    #expect(throws: error) { try data.validate(vocabularySize: 300) }
    #expect(error.exitCode == 65)
    try data.validate(vocabularySize: 300, splits: [.train])
  }

  @Test("raw text, a missing path and a headerless .bin each say what they are")
  func notData() throws {
    let folder = try TemporaryFolder()
    let text = try folder.write("hello", to: "a.txt")
    #expect(throws: CorpusError.notPrepared(path: text)) { try Dataset(path: text) }
    #expect(throws: CorpusError.notPrepared(path: folder.path)) { try Dataset(path: folder.path) }
    let missing = folder.file("none")
    #expect(throws: CorpusError.file(.missing(path: missing))) { try Dataset(path: missing) }
    let bin = try folder.write([1, 0, 2, 0], to: "train.bin")
    let error = thrownError { _ = try Dataset(path: bin) } as? CorpusError
    #expect(error?.description.contains("nanoGPT") == true)
    #expect(error?.exitCode == 65)
  }
}
