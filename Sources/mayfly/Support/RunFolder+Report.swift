import Evaluation
import Formats
import Training

extension RunFolder {
  /// Writes `report.html` from what the run has left so far. One that can't be written fails no training.
  ///
  /// - Returns: what it was written from; nil where that can't be read.
  func writeReport() -> RunHistory? {
    var history: RunHistory?
    do {
      let found = RunHistory(metrics: try FileSystem.read(metricsPath))
      history = found
      let report = RunReport(
        name: Path.name(path), history: found, settings: try text(settingsPath), samples: try samples())
      try FileSystem.write(report.html, to: Path.join(path, "report.html"))
    } catch {
      Log.line("warning: no report.html: \(error)")
    }
    return history
  }

  /// What the model wrote on the way.
  func samples() throws(FormatError) -> [(name: String, text: String)] {
    var samples: [(name: String, text: String)] = []
    for name in try FileSystem.names(in: samplesPath) where name.hasSuffix(".txt") {
      samples.append((String(name.dropLast(4)), try text(Path.join(samplesPath, name))))
    }
    return samples
  }

  private func text(_ path: String) throws(FormatError) -> String {
    String(decoding: try FileSystem.read(path), as: UTF8.self)
  }
}
