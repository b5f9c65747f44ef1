import Formats
import Foundation

/// A file from the network in a cache, where it stays: `prepare` may read it again without the network.
///
/// What comes is written beside its place and moved there when it is whole and right. An attempt that breaks off is gone
/// on with, by this process or a later one, if the server says that the content is still the same.
struct Download: Sendable {
  let file: RemoteFile
  /// Holds this file alone.
  private let folder: String
  private let headers: [String]
  private let notify: @Sendable (PrepareEvent) -> Void

  /// `$XDG_CACHE_HOME/mayfly`, else `~/.cache/mayfly`.
  static func cacheFolder(_ environment: [String: String] = ProcessInfo.processInfo.environment) -> String {
    if let folder = environment["XDG_CACHE_HOME"], !folder.isEmpty { return Path.join(folder, "mayfly/downloads") }
    return Path.join(environment["HOME"] ?? "/tmp", ".cache/mayfly/downloads")
  }

  /// - Parameter headers: of requests, beside our own.
  init(_ file: RemoteFile, headers: [String] = [], notify: @escaping @Sendable (PrepareEvent) -> Void) {
    self.file = file
    self.headers = headers
    self.notify = notify
    folder = Path.join(Self.cacheFolder(), String(ContentHash(Array(file.identity.utf8)).hex.prefix(32)))
  }

  /// Where the file is, once it is there.
  var path: String { Path.join(folder, file.name) }

  // No file's own name begins with a dot.
  private var partPath: String { Path.join(folder, ".part") }
  /// The headers of the answer that the file, or its part, is of.
  private var headersPath: String { Path.join(folder, ".headers") }
  private var newHeadersPath: String { Path.join(folder, ".headers.new") }

  /// Brings the file here unless it is here already.
  ///
  /// - Returns: its path.
  /// - Throws: ``CorpusError/download(address:problem:)``, ``FormatError/unwritable(path:reason:)`` for a full disk.
  func run() throws(CorpusError) -> String {
    try withFiles(try FileSystem.createFolder(folder))
    let lock = try waitForTurn()
    defer { withExtendedLifetime(lock) {} }
    if FileSystem.isFile(path) {
      var isRight = file.checksum != nil
      if !isRight { isRight = try isStillTheSame() }
      if isRight { return path }
      try withFiles(try FileSystem.remove(path))
    }
    notify(.stage("downloading \(file.address)" + (file.size.map { " (\($0 >> 20) MiB)" } ?? "")))
    try fetch()
    do throws(CorpusError) {
      try check()
    } catch {
      // What is wrong as a whole can't be gone on with.
      try withFiles(try FileSystem.remove(partPath))
      throw error
    }
    try withFiles(try FileSystem.move(partPath, to: path))
    return path
  }

  /// Other processes, perhaps on other machines with the same home, may want the same file.
  private func waitForTurn() throws(CorpusError) -> FolderLock {
    var hasTold = false
    while true {
      do throws(FormatError) {
        return try FolderLock(folder)
      } catch {
        guard case .inUse = error else { throw .file(error) }
        if !hasTold { notify(.stage("waiting for another process that downloads \(file.address)")) }
        hasTold = true
        Thread.sleep(forTimeInterval: 0.5)
      }
    }
  }

  /// Asks whether the content has changed since it came; what can't be asked is taken as it is.
  private func isStillTheSame() throws(CorpusError) -> Bool {
    let known = Web.Headers(file: headersPath)
    var conditions: [String] = []
    if let tag = known["etag"] { conditions.append("If-None-Match: \(tag)") }
    if let date = known["last-modified"] { conditions.append("If-Modified-Since: \(date)") }
    guard !conditions.isEmpty else { return false }
    var hasChanged = false
    do throws(CorpusError) {
      // Content comes only where it is another, and one byte of that is enough.
      let answer = try Web.get(
        file.address, headers: headers + conditions + ["Range: bytes=0-0"],
        keepingHeadersAt: Path.join(folder, ".headers.asked")
      ) { _ throws(CorpusError) in
        hasChanged = true
        throw .download(address: file.address, problem: "has changed")
      }
      if answer.status != 304 {
        let problem = answer.problem.isEmpty ? "status \(answer.status)" : answer.problem
        notify(.warning("\(file.address): can't tell whether it has changed (\(problem)); taking what came before"))
      }
    } catch {
      guard hasChanged else { throw error }
    }
    return !hasChanged
  }

  private func fetch() throws(CorpusError) {
    var part = try opened()
    var (failures, most) = (0, part.size)
    while true {
      if part.size > 0, !canGoOn { part = try emptied() }
      let start = part.size
      if start > 0, start == file.size { return try withFiles(try part.synchronize()) }
      if start == 0, FileSystem.exists(headersPath) { try withFiles(try FileSystem.remove(headersPath)) }
      var conditions = headers
      if start > 0, let validator = Self.validator(Web.Headers(file: headersPath)) {
        conditions.append("If-Range: \(validator)")
      }
      let answer = try Web.get(
        file.address, headers: conditions, from: start, keepingHeadersAt: newHeadersPath
      ) { block throws(CorpusError) in
        if let size = file.size, part.size + block.count > size {
          throw .download(address: file.address, problem: "more came than the \(size) bytes that were announced")
        }
        try Array(block).lendBytes { bytes throws(CorpusError) in try withFiles(try part.append(bytes)) }
      }
      if start > 0, answer.status == 200 || answer.status == 416 {
        // 416: nothing stands behind what is here. 200: another content, or a server that can't begin in the middle;
        // curl takes nothing of it.
        if answer.status == 416, answer.headers["content-range"] == "bytes */\(start)" { return }
        part = try emptied()
        continue
      }
      if answer.status == 200 || answer.status == 206 {
        try withFiles(try FileSystem.move(newHeadersPath, to: headersPath))
      }
      try withFiles(try part.synchronize())
      if answer.isWhole { return }
      failures = part.size > most ? 1 : failures + 1
      most = max(most, part.size)
      guard answer.mayPass, failures < Web.attempts else { throw problem(answer, came: part.size) }
      Web.pause(after: failures)
    }
  }

  /// Whether a part can be told from that of another content: by a checksum at the end, or by asking the server.
  private var canGoOn: Bool { file.checksum != nil || Self.validator(Web.Headers(file: headersPath)) != nil }

  private func emptied() throws(CorpusError) -> ScratchFile {
    try withFiles(try ScratchFile(path: partPath, keeping: 0))
  }

  /// The part that an earlier attempt has left, if it can be gone on with; else an empty one.
  private func opened() throws(CorpusError) -> ScratchFile {
    var size = (try? FileSystem.state(of: partPath).size) ?? 0
    // Left by a process that was killed while it read: of the same content, or of the first answer that ever came.
    let status = Web.Headers(file: newHeadersPath).status
    if status == 206 || (status == 200 && !FileSystem.exists(headersPath)) {
      try withFiles(try FileSystem.move(newHeadersPath, to: headersPath))
    } else if status == 200 {
      size = 0
    }
    if let whole = file.size, size > whole { size = 0 }
    return try withFiles(try ScratchFile(path: partPath, keeping: size))
  }

  /// What tells one state of a content from another, byte for byte; a weak tag doesn't.
  private static func validator(_ headers: Web.Headers) -> String? {
    if let tag = headers["etag"], !tag.hasPrefix("W/") { return tag }
    return headers["last-modified"]
  }

  private func check() throws(CorpusError) {
    let size = try withFiles(try FileSystem.state(of: partPath).size)
    if let expected = file.size, size != expected {
      throw .download(address: file.address, problem: "expected \(expected) bytes, found \(size)")
    }
    let found: RemoteFile.Checksum
    switch file.checksum {
    case nil: return
    case .sha256: found = .sha256(try withFiles(try ContentHash(file: partPath)).hex)
    case .gitBlob: found = .gitBlob(try withFiles(try GitBlob.hash(ofFile: partPath)))
    }
    guard let expected = file.checksum, found != expected else { return }
    throw .download(
      address: file.address,
      problem: "expected \(expected.text), found \(found.text); nothing of it was kept, try again")
  }

  private func problem(_ answer: Web.Answer, came: Int) -> CorpusError {
    var text = answer.problem.isEmpty ? "no answer" : answer.problem
    if answer.isMissing { text = "not found (\(answer.status))" }
    if answer.isForbidden { text = "not allowed (\(answer.status)); a dataset of the hub may want HF_TOKEN" }
    if came > 0, answer.mayPass { text += "; \(came) bytes are here, and the same command goes on behind them" }
    return .download(address: file.address, problem: text)
  }
}
