package import Formats

/// `metrics.jsonl`: one object a line, flushed at least each second.
package final class MetricsLog {
  private let file: GrowingFile

  /// Opens the log of a run, cut back to what had happened when `step` was done (0: anew, unless the run `goesOn`).
  ///
  /// A line that a killed process left half is cut as well.
  ///
  /// - Throws: ``FormatError/unwritable(path:reason:)``.
  package init(path: String, keepingUntil step: Int, goesOn: Bool = false) throws(FormatError) {
    var kept = ""
    if step > 0 || goesOn, FileSystem.exists(path) {
      for line in String(decoding: try FileSystem.read(path), as: UTF8.self).split(whereSeparator: \.isNewline) {
        guard let json = try? JSON.parse(Array(line.utf8)), let at = json["step"]?.int, at <= step else { continue }
        kept += line + "\n"
      }
    }
    try FileSystem.write(kept, to: path)
    file = try GrowingFile(path: path)
  }

  /// The seconds that a run had used when its last line was written.
  package static func elapsed(path: String) -> Double? {
    guard let bytes = try? FileSystem.read(path) else { return nil }
    return String(decoding: bytes, as: UTF8.self).split(whereSeparator: \.isNewline).reversed().lazy
      .compactMap { try? JSON.parse(Array($0.utf8))["elapsed_seconds"]?.double }.first
  }

  package func append(_ line: JSON) throws(FormatError) { try file.append((line.serialized() + "\n").utf8) }
  package func flush() throws(FormatError) { try file.flush() }
  /// Writes what is left, down to the disk.
  package func synchronize() throws(FormatError) { try file.synchronize() }
}
