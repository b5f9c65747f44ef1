/// Whole files and folders, with errors that name the path.
package enum FileSystem {
  package enum Kind: Sendable {
    case file, folder
    /// A pipe, a socket, a device.
    case other
  }

  /// What stands at a path, links followed; nil where there is nothing.
  package static func kind(of path: String) -> Kind? {
    guard let status = try? POSIX.status(path) else { return nil }
    return status.isFile ? .file : status.isFolder ? .folder : .other
  }

  package static func exists(_ path: String) -> Bool { kind(of: path) != nil }
  package static func isFile(_ path: String) -> Bool { kind(of: path) == .file }
  package static func isFolder(_ path: String) -> Bool { kind(of: path) == .folder }

  /// Equal for two names of the same file or folder; nil where there is nothing.
  package static func identity(of path: String) -> SIMD2<UInt64>? { (try? POSIX.status(path))?.identity }

  /// What changes with a file's content: its size, and when it was changed last, in nanoseconds.
  package static func state(of path: String) throws(FormatError) -> (size: Int, modified: Int) {
    do {
      let status = try POSIX.status(path)
      return (status.size, status.modified)
    } catch {
      throw readError(error, path)
    }
  }

  /// Lets the process have so many files open at once, if the system allows it.
  package static func allowOpenFiles(_ count: Int) { POSIX.allowOpenFiles(count) }

  // MARK: Reading

  /// What comes out of a pipe or a device, at most: some have no end.
  private static let endlessAfter = 4 << 30

  /// The whole file; pipes are read to their end.
  package static func read(_ path: String) throws(FormatError) -> [UInt8] {
    do {
      let status = try POSIX.status(path)
      if status.isFolder { throw FormatError.notAFile(path: path) }
      guard status.size <= POSIX.memory / 2 else {
        throw FormatError.unreadable(
          path: path,
          reason: "its \(status.size >> 20) MiB are more than half of the machine's memory; split the file")
      }
      let descriptor = try POSIX.openForReading(path)
      defer { POSIX.closeQuietly(descriptor) }
      // One byte more than the size, so that the end is seen without growing.
      var bytes = [UInt8](repeating: 0, count: max(status.size, 1 << 16) + 1)
      var count = 0
      while true {
        if !status.isFile, count >= endlessAfter {
          throw FormatError.unreadable(path: path, reason: "it doesn't end within \(endlessAfter >> 20) MiB")
        }
        if count == bytes.count { bytes.append(contentsOf: repeatElement(0, count: bytes.count)) }
        let read = try bytes.lendMutableBytes { buffer throws(SystemError) in
          try POSIX.readNext(descriptor, into: UnsafeMutableRawBufferPointer(rebasing: buffer[count...]))
        }
        if read == 0 { break }
        count += read
      }
      bytes.removeLast(bytes.count - count)
      return bytes
    } catch let error as SystemError {
      throw readError(error, path)
    } catch let error as FormatError {
      throw error
    } catch {
      throw .unreadable(path: path, reason: "\(error)")
    }
  }

  package static func readJSON(_ path: String) throws(FormatError) -> JSON {
    let bytes = try read(path)
    do {
      return try JSON.parse(bytes)
    } catch {
      throw .json(path: path, error)
    }
  }

  /// The names in a folder, hidden ones too, in the order of their bytes (the same everywhere).
  package static func names(in folder: String) throws(FormatError) -> [String] {
    do {
      return try POSIX.names(in: folder).sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
    } catch {
      if isFile(folder) { throw .notAFolder(path: folder) }
      throw readError(error, folder)
    }
  }

  static func readError(_ error: SystemError, _ path: String) -> FormatError {
    error.isMissing ? .missing(path: path) : .unreadable(path: path, reason: error.reason)
  }

  // MARK: Writing

  /// Replaces a file as a whole: readers see the old bytes or the new ones, also after a power cut.
  package static func write(_ bytes: some Collection<UInt8>, to path: String) throws(FormatError) {
    let file = try OutputFile(path: path)
    try file.write(bytes)
    try file.commit()
  }

  package static func write(_ text: String, to path: String) throws(FormatError) {
    try write(Array(text.utf8), to: path)
  }

  /// Makes a folder and those above it; one that is there already is fine.
  package static func createFolder(_ path: String) throws(FormatError) {
    switch kind(of: path) {
    case .folder: return
    case .file, .other: throw .unwritable(path: path, reason: "it is a file; expected a folder or nothing")
    case nil: break
    }
    let parent = Path.parent(path)
    if parent != path { try createFolder(parent) }
    do {
      try POSIX.makeFolder(path)
    } catch {
      // Another process may have made it in between.
      guard error.isTaken, isFolder(path) else { throw .unwritable(path: path, reason: error.reason) }
    }
  }

  /// Makes sure, before any work, that files can be made in a folder; the folder is made if it isn't there.
  package static func requireWritableFolder(_ path: String) throws(FormatError) {
    try createOutputFolder(path, for: path)
    let probe = temporaryName(for: Path.join(path, "probe"))
    do {
      POSIX.closeQuietly(try POSIX.create(probe))
      try POSIX.removeFile(probe)
    } catch {
      throw .unwritable(path: path, reason: error.reason)
    }
  }

  /// Makes a folder that `output` needs; where that can't be, the error names `output`, which the user knows.
  static func createOutputFolder(_ path: String, for output: String) throws(FormatError) {
    do {
      try createFolder(path)
    } catch .unwritable(let culprit, let reason) where culprit != output {
      throw .unwritable(path: output, reason: "\(culprit): \(reason)")
    }
  }

  /// Removes a file, or a folder with all that is in it (links themselves, not what they name).
  package static func remove(_ path: String) throws(FormatError) {
    do {
      if POSIX.isRealFolder(path) {
        for name in try POSIX.names(in: path) { try remove(Path.join(path, name)) }
        try POSIX.removeEmptyFolder(path)
      } else {
        try POSIX.removeFile(path)
      }
    } catch let error as SystemError {
      throw .unwritable(path: path, reason: error.reason)
    } catch let error as FormatError {
      throw error
    } catch {
      throw .unwritable(path: path, reason: "\(error)")
    }
  }

  package static func move(_ path: String, to target: String) throws(FormatError) {
    do {
      try POSIX.move(path, to: target)
    } catch {
      throw .unwritable(path: target, reason: error.reason)
    }
    POSIX.syncFolder(Path.parent(target))
  }

  /// A hidden name beside `path`, which no other process uses.
  static func temporaryName(for path: String) -> String {
    let random = String(UInt32.random(in: .min ... .max), radix: 36)
    return Path.join(Path.parent(path), ".\(Path.name(path)).tmp-\(POSIX.processID)-\(random)")
  }
}
