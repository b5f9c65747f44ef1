import Dispatch
import Formats
import Foundation
import Synchronization

/// A program of the system that reads what we don't.
struct ExternalProgram: Sendable {
  let name: String
  /// Debian's package.
  let package: String
  /// What it is for, as the start of a sentence.
  let purpose: String

  /// Where it is installed; nil: it isn't.
  var path: String? {
    let folders = ProcessInfo.processInfo.environment["PATH"] ?? "/usr/local/bin:/usr/bin:/bin"
    return folders.split(separator: ":").map { Path.join(String($0), name) }
      .first { FileManager.default.isExecutableFile(atPath: $0) }
  }

  /// - Parameter input: what it was needed for.
  func missing(for input: String) -> CorpusError {
    .file(
      .content(
        path: input,
        problem: "\(purpose) by \(name), which isn't here; install it (Debian: apt-get install \(package))"))
  }

  /// What a program has said when it ended.
  struct Ending {
    let code: Int32
    /// Its error output, as far as it isn't very long.
    let message: String
  }

  /// Runs it, and hands over its output as it comes.
  ///
  /// - Parameters:
  ///   - file: what it is run for, named in errors.
  ///   - input: for its standard input.
  ///   - body: gets the output block by block; what it throws ends the program.
  func run(
    _ arguments: [String], for file: String, input: String = "", _ body: (Data) throws(CorpusError) -> Void
  ) throws(CorpusError) -> Ending {
    guard let path else { throw missing(for: file) }
    let process = Process()
    process.executableURL = URL(fileURLWithPath: path)
    process.arguments = arguments
    let (stdin, stdout, stderr) = (Pipe(), Pipe(), Pipe())
    (process.standardInput, process.standardOutput, process.standardError) = (stdin, stdout, stderr)
    do {
      try process.run()
    } catch {
      throw .file(.unreadable(path: file, reason: "\(name) can't be run: \(error.localizedDescription)"))
    }
    // Read beside its output: a program that waits until somebody reads what it has to say would wait forever.
    let errors = ReadToEnd(stderr.fileHandleForReading)
    // It may have ended without reading its input.
    try? stdin.fileHandleForWriting.write(contentsOf: Data(input.utf8))
    try? stdin.fileHandleForWriting.close()
    do throws(CorpusError) {
      while let block = try? stdout.fileHandleForReading.read(upToCount: 1 << 18), !block.isEmpty { try body(block) }
    } catch {
      process.terminate()
      process.waitUntilExit()
      throw error
    }
    process.waitUntilExit()
    let text = String(decoding: errors.wait().prefix(1 << 16), as: UTF8.self)
    return Ending(code: process.terminationStatus, message: text)
  }
}

/// Reads a file to its end on a thread of its own.
private final class ReadToEnd: Sendable {
  private let group = DispatchGroup()
  private let data = Mutex(Data())

  init(_ file: FileHandle) {
    DispatchQueue.global().async(group: group) {
      let all = (try? file.readToEnd()) ?? Data()
      self.data.withLock { $0 = all }
    }
  }

  func wait() -> Data {
    group.wait()
    return data.withLock { $0 }
  }
}
