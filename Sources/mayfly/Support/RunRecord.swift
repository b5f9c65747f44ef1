import Evaluation
import Foundation
import Formats
import Models
import Training

/// What a run's folder says of the run. What is broken there is told beside what can be read.
struct RunRecord {
  enum State: String {
    case running, finished, stopped, broken
  }

  let folder: RunFolder
  let state: State
  let history: RunHistory
  /// As `run.yaml` has them.
  let settings: SettingOverrides
  let problems: [String]

  /// - Throws: ``CommandError`` where no run is.
  init(_ path: String) throws {
    let folder = RunFolder(path)
    guard FileSystem.exists(path) else { throw FormatError.missing(path: path) }
    guard folder.isRun else {
      throw CommandError(
        "\(path): is no run: it has no run.yaml, metrics.jsonl or checkpoints; `mayfly runs` lists runs")
    }
    var problems: [String] = []
    func attempt<T>(_ fallback: T, _ body: () throws -> T) -> T {
      do { return try body() } catch {
        problems.append("\(error)")
        return fallback
      }
    }
    settings = attempt(SettingOverrides()) {
      guard let settings = try Resumption.recorded(folder) else {
        throw FormatError.missing(path: folder.settingsPath)
      }
      return settings
    }
    history = attempt(RunHistory()) { RunHistory(metrics: try FileSystem.read(folder.metricsPath)) }
    let isBroken = !problems.isEmpty
    let isRunning = FolderLock.isHeld(path)
    // The last line of one that is running may be under way.
    if history.brokenLines > (isRunning ? 1 : 0) {
      let lines = history.brokenLines == 1 ? "a broken line was" : "\(history.brokenLines) broken lines were"
      problems.append("\(folder.metricsPath): \(lines) passed over")
    }
    state = isRunning ? .running : isBroken ? .broken : history.isFinished ? .finished : .stopped
    (self.folder, self.problems) = (folder, problems)
  }

  var name: String { Path.name(folder.path) }

  /// Steps of checkpoints, each with the links that point at it.
  var checkpoints: [(step: Int, links: [String])] {
    folder.checkpointSteps.map { step in (step, ["latest", "best"].filter { folder.linkedStep($0) == step }) }
  }

  /// The settings that differ from the defaults of the same architecture and vocabulary.
  var changedSettings: [(key: String, value: String, usual: String)] {
    var shape = SettingOverrides()
    for key in ["model.architecture", "model.vocab_size"] {
      if let value = settings[key] { try? shape.add(key, value) }
    }
    guard let usual = try? Settings.resolve(preset: Preset.all[0], overrides: shape, initial: nil, tokens: nil) else {
      return []
    }
    return SettingKey.all.compactMap { key in
      let value = key.read(usual)
      guard let given = settings[key.name], given != value else { return nil }
      return (key.name, given, value)
    }
  }

  /// Nil where there was no plan.
  var planOutcome: PlanOutcome? { PlanOutcome(folder, history) }

  /// The means of the training loss, evenly spread over the run.
  var curve: [Double] { history.updates.map(\.loss) }

  var json: JSON {
    let (update, best, last) = (history.lastUpdate, history.bestEvaluation, history.lastEvaluation)
    func number(_ value: Double?) -> JSON { value.map { .number($0) } ?? .null }
    func count(_ value: Int?) -> JSON { value.map { JSON($0) } ?? .null }
    return [
      "name": .string(name), "path": .string(folder.path), "state": .string(state.rawValue),
      "steps": count(update?.step), "tokens": count(update?.tokens), "parameters": count(history.parameters),
      "train_loss": number(update?.loss), "val_loss": number(last?.loss), "best_val_loss": number(best?.loss),
      "best_step": count(best?.step), "best_bits_per_byte": number(best?.bitsPerByte),
      "elapsed_seconds": .number(history.elapsed), "device": history.device.map { .string($0) } ?? .null,
      "problems": .array(problems.map { .string($0) }),
    ]
  }
}
