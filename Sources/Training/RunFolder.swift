import Foundation
package import Formats
package import Models

/// The folder of a run and what lies where in it.
package struct RunFolder: Sendable {
  package let path: String

  package init(_ path: String) {
    self.path = path
  }

  package var settingsPath: String { Path.join(path, "run.yaml") }
  package var planPath: String { Path.join(path, "plan.json") }
  package var metricsPath: String { Path.join(path, "metrics.jsonl") }
  package var samplesPath: String { Path.join(path, "samples") }
  package var dataPath: String { Path.join(path, "data") }
  package var checkpointsPath: String { Path.join(path, "checkpoints") }

  /// Whether a run has begun here.
  package var isRun: Bool {
    FileSystem.exists(settingsPath) || FileSystem.exists(metricsPath) || FileSystem.exists(checkpointsPath)
  }

  package func checkpointPath(step: Int) -> String {
    let digits = String(step)
    return Path.join(checkpointsPath, "step-" + String(repeating: "0", count: max(0, 8 - digits.count)) + digits)
  }

  /// Steps of the checkpoints that are there, ascending.
  package var checkpointSteps: [Int] {
    let names = (try? FileSystem.names(in: checkpointsPath)) ?? []
    return names.compactMap { $0.hasPrefix("step-") ? Int($0.dropFirst(5)) : nil }.sorted()
  }

  /// Makes the folders, and removes what a killed process left of a checkpoint.
  ///
  /// - Throws: ``FormatError/unwritable(path:reason:)``.
  package func create() throws(FormatError) {
    try FileSystem.createFolder(checkpointsPath)
    try FileSystem.createFolder(samplesPath)
    try StagedFolder.removeLeftovers(in: checkpointsPath)
  }

  /// The newest checkpoint that is whole; nil if there is none. Ones that aren't are passed to `onBroken`.
  ///
  /// - Parameter limit: the last step that will do.
  package func newestCheckpoint(upTo limit: Int = .max, onBroken: (any Error) -> Void = { _ in }) -> ModelFolder? {
    for step in checkpointSteps.reversed() where step <= limit {
      do {
        let path = checkpointPath(step: step)
        // Others' folders may have none; of ours, one without isn't whole.
        guard Manifest.exists(in: path) else { throw FormatError.manifest(folder: path, .absent) }
        return try ModelFolder(path)
      } catch {
        onBroken(error)
      }
    }
    return nil
  }

  /// Points a relative link (`latest`, `best`) at a checkpoint, in one atomic step.
  package func link(_ name: String, to step: Int) throws(FormatError) {
    let link = Path.join(checkpointsPath, name)
    let temporary = link + ".new"
    unlink(temporary)
    guard symlink(Path.name(checkpointPath(step: step)), temporary) == 0, rename(temporary, link) == 0 else {
      throw .unwritable(path: link, reason: String(cString: strerror(errno)))
    }
  }

  /// The step that a link points at.
  package func linkedStep(_ name: String) -> Int? {
    let target = try? FileManager.default.destinationOfSymbolicLink(atPath: Path.join(checkpointsPath, name))
    return target.flatMap { $0.hasPrefix("step-") ? Int($0.dropFirst(5)) : nil }
  }

  /// Removes checkpoints of later steps, which a run that went back has given up.
  package func removeCheckpoints(after step: Int) throws(FormatError) {
    let (kept, given) = (checkpointSteps.filter { $0 <= step }, checkpointSteps.filter { $0 > step })
    for name in ["latest", "best"] where linkedStep(name).map({ $0 > step }) ?? false {
      if let newest = kept.last {
        try link(name, to: newest)
      } else {
        try FileSystem.remove(Path.join(checkpointsPath, name))
      }
    }
    for step in given { try FileSystem.remove(checkpointPath(step: step)) }
  }

  /// Removes the oldest checkpoints, but the newest `count` and what `latest` and `best` point at.
  package func prune(keeping count: Int) throws(FormatError) {
    let kept = Set(checkpointSteps.suffix(count) + [linkedStep("latest"), linkedStep("best")].compactMap(\.self))
    for step in checkpointSteps where !kept.contains(step) { try FileSystem.remove(checkpointPath(step: step)) }
  }
}
