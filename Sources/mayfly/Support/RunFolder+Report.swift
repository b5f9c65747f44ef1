import Evaluation
import Formats
import Training

extension RunFolder {
  /// Writes `report.html` from what the run has left so far. One that can't be written fails no training.
  func writeReport() {
    do {
      let samples = try FileSystem.names(in: samplesPath).filter { $0.hasSuffix(".txt") }.map { name in
        (name: String(name.dropLast(4)), text: try text(Path.join(samplesPath, name)))
      }
      let report = RunReport(
        name: Path.name(path), metrics: try FileSystem.read(metricsPath), settings: try text(settingsPath),
        samples: samples)
      try FileSystem.write(report.html, to: Path.join(path, "report.html"))
    } catch {
      Log.line("warning: no report.html: \(error)")
    }
  }

  private func text(_ path: String) throws(FormatError) -> String {
    String(decoding: try FileSystem.read(path), as: UTF8.self)
  }
}
