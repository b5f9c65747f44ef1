import Formats
import Foundation

/// The text of PDF files, by Poppler's pdftotext where it is installed.
enum PDFText {
  private static let program = "pdftotext"

  private static let path: String? = {
    let folders = ProcessInfo.processInfo.environment["PATH"] ?? "/usr/local/bin:/usr/bin:/bin"
    return folders.split(separator: ":").map { Path.join(String($0), program) }
      .first { FileManager.default.isExecutableFile(atPath: $0) }
  }()

  static var isThere: Bool { path != nil }

  static func missing(_ file: String) -> CorpusError {
    .file(
      .content(
        path: file,
        problem: "PDF is read by \(program), which isn't here; install it (Debian: apt-get install poppler-utils)"))
  }

  static func extract(_ file: String) throws(CorpusError) -> [UInt8] {
    guard let path else { throw missing(file) }
    let process = Process()
    process.executableURL = URL(fileURLWithPath: path)
    // A name that begins with a dash is no option.
    process.arguments = ["-q", "-enc", "UTF-8", "-eol", "unix", file.hasPrefix("-") ? "./" + file : file, "-"]
    let output = Pipe()
    process.standardOutput = output
    process.standardError = FileHandle.nullDevice
    do {
      try process.run()
    } catch {
      throw .file(.unreadable(path: file, reason: "\(program) can't be run: \(error.localizedDescription)"))
    }
    let data = (try? output.fileHandleForReading.readToEnd()) ?? Data()
    process.waitUntilExit()
    guard process.terminationStatus == 0 else {
      throw .binary(path: file, reason: "\(program) can't read it (exit code \(process.terminationStatus))")
    }
    return Array(data)
  }
}
