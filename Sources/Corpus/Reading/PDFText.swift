import Formats

/// The text of PDF files, by Poppler's pdftotext where it is installed.
enum PDFText {
  private static let program = ExternalProgram(
    name: "pdftotext", package: "poppler-utils", purpose: "PDF is read")

  static let isThere = program.path != nil

  static func missing(_ file: String) -> CorpusError { program.missing(for: file) }

  static func extract(_ file: String) throws(CorpusError) -> [UInt8] {
    var text: [UInt8] = []
    // A name that begins with a dash is no option.
    let arguments = ["-q", "-enc", "UTF-8", "-eol", "unix", file.hasPrefix("-") ? "./" + file : file, "-"]
    let ending = try program.run(arguments, for: file) { text.append(contentsOf: $0) }
    guard ending.code == 0 else {
      throw .binary(path: file, reason: "\(program.name) can't read it (exit code \(ending.code))")
    }
    return text
  }
}
