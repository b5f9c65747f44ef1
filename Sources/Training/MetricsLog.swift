import Foundation
package import Formats

/// `metrics.jsonl`: one object a line, flushed at least each second.
package final class MetricsLog {
  private let handle: FileHandle
  private let path: String
  private var buffer = ""
  private var lastFlush = ContinuousClock.now

  /// Opens the log of a run, cut back to what had happened when `step` was done (0: anew).
  ///
  /// A line that a killed process left half is cut as well.
  ///
  /// - Throws: ``FormatError/unwritable(path:reason:)``.
  package init(path: String, keepingUntil step: Int) throws(FormatError) {
    self.path = path
    var kept = ""
    if step > 0, FileSystem.exists(path) {
      for line in String(decoding: try FileSystem.read(path), as: UTF8.self).split(whereSeparator: \.isNewline) {
        guard let json = try? JSON.parse(Array(line.utf8)), let at = json["step"]?.int, at <= step else { continue }
        kept += line + "\n"
      }
    }
    try FileSystem.write(kept, to: path)
    guard let handle = FileHandle(forWritingAtPath: path) else {
      throw .unwritable(path: path, reason: "it can't be opened")
    }
    self.handle = handle
    _ = try? handle.seekToEnd()
  }

  /// The seconds that a run had used when its last line was written.
  package static func elapsed(path: String) -> Double? {
    guard let bytes = try? FileSystem.read(path) else { return nil }
    return String(decoding: bytes, as: UTF8.self).split(whereSeparator: \.isNewline).reversed().lazy
      .compactMap { try? JSON.parse(Array($0.utf8))["elapsed_seconds"]?.double }.first
  }

  package func append(_ line: JSON) throws(FormatError) {
    buffer += line.serialized() + "\n"
    if ContinuousClock.now - lastFlush >= .seconds(1) { try flush() }
  }

  package func flush() throws(FormatError) {
    lastFlush = .now
    guard !buffer.isEmpty else { return }
    do {
      try handle.write(contentsOf: Data(buffer.utf8))
    } catch {
      throw .unwritable(path: path, reason: "\(error)")
    }
    buffer = ""
  }

  package func close() throws(FormatError) {
    try flush()
    try? handle.synchronize()
  }
}

extension StepMetrics {
  /// The line of `metrics.jsonl`.
  package var json: JSON {
    [
      "kind": "train", "step": .integer(Int64(step)), "tokens": .integer(Int64(tokens)), "loss": .number(loss),
      "accuracy": .number(accuracy), "learning_rate": .number(Double(learningRate)),
      "grad_norm": .number(gradientNorm), "tokens_per_second": .number(tokensPerSecond),
      "data_wait_seconds": .number(dataWaitSeconds), "elapsed_seconds": .number(elapsed),
    ]
  }
}
