import Formats
import Foundation
import TestSupport
import Testing

@Suite("Files and folders")
struct FileSystemTests {
  @Test("a missing file, a folder and a file in place of a folder are told apart, by path")
  func readErrors() throws {
    let folder = try TemporaryFolder()
    #expect(throws: FormatError.missing(path: folder.file("a"))) { try FileSystem.read(folder.file("a")) }
    #expect(throws: FormatError.notAFile(path: folder.path)) { try FileSystem.read(folder.path) }
    #expect(throws: FormatError.notAFile(path: folder.path)) { try InputFile(path: folder.path) }
    try folder.write("x", to: "file")
    #expect(throws: FormatError.notAFolder(path: folder.file("file"))) { try FileSystem.names(in: folder.file("file")) }
    #expect(throws: FormatError.missing(path: folder.file("file/b"))) { try FileSystem.read(folder.file("file/b")) }
    #expect(FormatError.missing(path: "a").exitCode == 65)
  }

  @Test("a whole file is read, also an empty one and one larger than a block")
  func readsFiles() throws {
    let folder = try TemporaryFolder()
    for size in [0, 1, 65_536, 65_537, 300_001] {
      let bytes = (0..<size).map { UInt8(truncatingIfNeeded: $0 &* 31) }
      try folder.write(bytes, to: "f")
      #expect(try FileSystem.read(folder.file("f")) == bytes)
    }
  }

  @Test("a file larger than memory and a device without an end are errors, and no pipe is waited for")
  func endless() throws {
    let folder = try TemporaryFolder()
    try folder.write("", to: "huge")
    try #require(truncate(folder.file("huge"), 1 << 42) == 0)
    #expect(throws: FormatError.self) { try FileSystem.read(folder.file("huge")) }
    try #require(mkfifo(folder.file("pipe"), 0o600) == 0)
    #expect(throws: FormatError.notAFile(path: folder.file("pipe"))) { try InputFile(path: folder.file("pipe")) }
  }

  @Test("writing replaces a file as a whole and leaves no other")
  func atomicWrite() throws {
    let folder = try TemporaryFolder()
    try FileSystem.write("old", to: folder.file("f"))
    let file = try OutputFile(path: folder.file("f"))
    try file.write(Array("new".utf8))
    #expect(try folder.bytes(of: "f") == Array("old".utf8))
    try file.commit()
    #expect(try folder.bytes(of: "f") == Array("new".utf8))
    #expect(try folder.names() == ["f"])
  }

  @Test("a file that is dropped before it is committed leaves nothing")
  func abandonedWrite() throws {
    let folder = try TemporaryFolder()
    do {
      let file = try OutputFile(path: folder.file("f"))
      try file.write([UInt8](repeating: 1, count: 1 << 20))
    }
    #expect(try folder.names() == [])
  }

  @Test("appended bytes and bytes at a place of their own make one file")
  func mixedWrites() throws {
    let folder = try TemporaryFolder()
    let file = try OutputFile(path: folder.file("f"))
    try file.write([0, 0, 0, 0])
    try file.write([UInt8](repeating: 7, count: 600_000))
    try file.write([9])
    try [UInt8]([1, 2]).lendBytes { bytes throws(FormatError) in try file.write(bytes, at: 1) }
    try file.commit()
    let expected = [0, 1, 2, 0] + [UInt8](repeating: 7, count: 600_000) + [9]
    #expect(try folder.bytes(of: "f") == expected)
  }

  @Test("an output folder that can't be made is found before any work, with exit code 73")
  func unwritableFolder() throws {
    let folder = try TemporaryFolder()
    try folder.write("x", to: "file")
    let paths = [folder.file("file/out"), folder.file("file"), "/proc/mayfly-test"]
    for path in paths {
      let error = thrownError { try FileSystem.requireWritableFolder(path) } as? FormatError
      #expect(error?.exitCode == 73, "\(path)")
    }
    try FileSystem.requireWritableFolder(folder.file("a/b/c"))
    #expect(FileSystem.isFolder(folder.file("a/b/c")))
    #expect(try FileSystem.names(in: folder.file("a/b/c")) == [])
  }

  @Test("names come in the order of their bytes")
  func namesSorted() throws {
    let folder = try TemporaryFolder()
    for name in ["é", "b", "B", "a10", "a9", ".h"] { try folder.write("", to: name) }
    #expect(try FileSystem.names(in: folder.path) == [".h", "B", "a10", "a9", "b", "é"])
  }

  @Test(
    "paths are taken apart",
    arguments: [
      ("a/b/c.TXT", "c.TXT", "a/b", "txt"), ("c", "c", ".", ""), ("/c/", "c", "/", ""), ("a//", "a", ".", ""),
      ("/", "/", "/", ""), (".hidden", ".hidden", ".", ""), ("a/.x.gz", ".x.gz", "a", "gz"),
    ])
  func paths(path: String, name: String, parent: String, fileExtension: String) {
    #expect(Path.name(path) == name)
    #expect(Path.parent(path) == parent)
    #expect(Path.fileExtension(path) == fileExtension)
  }

  @Test("SHA-256 of bytes and of files")
  func hashes() throws {
    let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    #expect(ContentHash([]).hex == empty)
    #expect(ContentHash(Array("abc".utf8)).hex == abc)
    let folder = try TemporaryFolder()
    let bytes = [UInt8](repeating: 97, count: 1_000_000)
    try folder.write(bytes, to: "million")
    let million = "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"
    #expect(try ContentHash(file: folder.file("million")).hex == million)
  }
}

@Suite("Staged folder")
struct StagedFolderTests {
  @Test("appears whole, and only when committed")
  func commits() throws {
    let folder = try TemporaryFolder()
    let staged = try StagedFolder(path: folder.file("out"))
    try FileSystem.write("x", to: staged.file("f"))
    #expect(!FileSystem.exists(folder.file("out")))
    try staged.commit()
    #expect(try folder.bytes(of: "out/f") == Array("x".utf8))
    #expect(try folder.names() == ["out"])
  }

  @Test("leaves nothing when dropped")
  func dropped() throws {
    let folder = try TemporaryFolder()
    do {
      let staged = try StagedFolder(path: folder.file("a/out"))
      try FileSystem.createFolder(staged.file("sub"))
      try FileSystem.write("x", to: staged.file("sub/f"))
    }
    #expect(try FileSystem.names(in: folder.file("a")) == [])
  }

  @Test("takes the place of an empty folder, never of one with files in it")
  func existing() throws {
    let folder = try TemporaryFolder()
    try FileSystem.createFolder(folder.file("empty"))
    try StagedFolder(path: folder.file("empty")).commit()

    try folder.write("mine", to: "full/f")
    #expect(throws: FormatError.exists(path: folder.file("full"))) { try StagedFolder(path: folder.file("full")) }
    #expect(FormatError.exists(path: "a").exitCode == 73)
    let late = try StagedFolder(path: folder.file("late"))
    try folder.write("mine", to: "late/f")
    #expect(throws: FormatError.exists(path: folder.file("late"))) { try late.commit() }
    #expect(try folder.bytes(of: "late/f") == Array("mine".utf8))
  }

  @Test("fills the empty folder that a link leads to, and refuses a link that leads nowhere before any work")
  func links() throws {
    let folder = try TemporaryFolder()
    try FileSystem.createFolder(folder.file("real"))
    try #require(symlink("real", folder.file("link")) == 0)
    let staged = try StagedFolder(path: folder.file("link"))
    try FileSystem.write("x", to: staged.file("a"))
    try staged.commit()
    #expect(try FileSystem.names(in: folder.file("real")) == ["a"])

    try #require(symlink("gone", folder.file("dangling")) == 0)
    #expect(throws: FormatError.self) { try StagedFolder(path: folder.file("dangling")) }
    #expect(try folder.names() == ["dangling", "link", "real"])
  }

  @Test("is one process's while it is locked")
  func lock() throws {
    let folder = try TemporaryFolder()
    do {
      let first = try FolderLock(folder.path)
      #expect(throws: FormatError.inUse(path: folder.path)) { try FolderLock(folder.path) }
      withExtendedLifetime(first) {}
    }
    _ = try FolderLock(folder.path)
    #expect(FormatError.inUse(path: "a").exitCode == 73)
  }

  @Test("removes what an ended process left for the same place, and nothing of a living one or another place")
  func abandoned() throws {
    let folder = try TemporaryFolder()
    // No process has the highest number that Linux can give.
    for name in [".out.tmp-4194304-x/f", ".other.tmp-4194304-x/f", ".out.tmp-1-x/f"] {
      try folder.write("half", to: name)
    }
    try StagedFolder(path: folder.file("out")).commit()
    #expect(try folder.names() == [".other.tmp-4194304-x", ".out.tmp-1-x", "out"])
  }

  @Test("replaces a folder when told to, and leftovers of killed processes can be removed")
  func replacing() throws {
    let folder = try TemporaryFolder()
    try folder.write("old", to: "out/old")
    try folder.write("half", to: ".out.tmp-1-x/f")
    try folder.write("half", to: ".other.tmp-2-x/f")
    let staged = try StagedFolder(path: folder.file("out"), replacing: true)
    try FileSystem.write("new", to: staged.file("new"))
    try staged.commit(replacing: true)
    #expect(try FileSystem.names(in: folder.file("out")) == ["new"])
    try StagedFolder.removeLeftovers(in: folder.path)
    #expect(try folder.names() == ["out"])
  }
}

@Suite("Manifest")
struct ManifestTests {
  private func folderWithManifest() throws -> TemporaryFolder {
    let folder = try TemporaryFolder()
    try folder.write("hello", to: "config.json")
    try folder.write([UInt8](repeating: 3, count: 100_000), to: "sub/weights")
    try Manifest.write(for: folder.path)
    return folder
  }

  @Test("a whole folder passes, also with files that the manifest doesn't know")
  func whole() throws {
    let folder = try folderWithManifest()
    try Manifest.verify(folder.path)
    #expect(try Manifest(of: folder.path).entries.keys.sorted() == ["config.json", "sub/weights"])
    try folder.write("mine", to: "notes.txt")
    try Manifest.verify(folder.path)
  }

  @Test("says which file is missing, short or changed, with what was expected and found")
  func damaged() throws {
    var folder = try folderWithManifest()
    try folder.write([UInt8](repeating: 3, count: 99_999), to: "sub/weights")
    #expect(throws: manifestError(folder, .sizeDiffers("sub/weights", expected: 100_000, found: 99_999))) {
      try Manifest.verify(folder.path)
    }
    folder = try folderWithManifest()
    var bytes = try folder.bytes(of: "sub/weights")
    bytes[50_000] ^= 1
    try folder.write(bytes, to: "sub/weights")
    let expected = ContentHash([UInt8](repeating: 3, count: 100_000)).hex
    let found = ContentHash(bytes).hex
    #expect(throws: manifestError(folder, .hashDiffers("sub/weights", expected: expected, found: found))) {
      try Manifest.verify(folder.path)
    }
    try FileSystem.remove(folder.file("config.json"))
    #expect(throws: manifestError(folder, .fileMissing("config.json"))) { try Manifest.verify(folder.path) }
  }

  @Test("a missing manifest, one that isn't JSON, and names that lead out of the folder are errors")
  func hostile() throws {
    let folder = try TemporaryFolder()
    #expect(throws: manifestError(folder, .absent)) { try Manifest.verify(folder.path) }
    let texts = [
      "", "[]", "{}", #"{"files": []}"#, #"{"files": {"a": {"size": 1}}}"#,
      #"{"files": {"../a": {"size": 1, "sha256": ""}}}"#, #"{"files": {"/etc/passwd": {"size": 1, "sha256": ""}}}"#,
      #"{"files": {"a//b": {"size": 1, "sha256": ""}}}"#,
    ]
    for text in texts {
      try folder.write(text, to: "manifest.json")
      let error = thrownError { try Manifest.verify(folder.path) } as? FormatError
      #expect(error?.exitCode == 65, "\(text)")
    }
  }

  private func manifestError(_ folder: TemporaryFolder, _ problem: ManifestProblem) -> FormatError {
    .manifest(folder: folder.path, problem)
  }
}
