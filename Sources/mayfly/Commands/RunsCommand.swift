import ArgumentParser
import Evaluation
import Formats
import Foundation
import Training

/// Looks at runs: what was trained, how, and what came of it.
struct Runs: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "List runs, look at one, or compare some.",
    subcommands: [List.self, Show.self, Compare.self], defaultSubcommand: List.self)

  struct List: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "List the runs of a folder.")

    @Argument(help: "The folder that holds the runs, or a run.")
    var folder = "runs"

    @Flag(help: "Print one JSON document.")
    var json = false

    func run() throws {
      let runs = try records()
      if json { return try Output.json(["runs": .array(runs.map(\.json))]) }
      guard !runs.isEmpty else { return Log.line("\(folder): there are no runs") }
      var table = TextTable(
        heads: ["run", "state", "steps", "tokens", "params", "val loss", "bits/byte", "time", "device"],
        left: [0, 1, 8])
      for run in runs {
        let history = run.history
        table.rows.append([
          run.name, run.state.rawValue, history.lastUpdate.map { "\($0.step)" } ?? "–",
          history.lastUpdate.map { compact(Double($0.tokens)) } ?? "–",
          history.parameters.map { compact(Double($0)) } ?? "–",
          history.bestEvaluation.map { fixed($0.loss, 4) } ?? "–",
          history.bestEvaluation?.bitsPerByte.map { fixed($0, 3) } ?? "–",
          history.elapsed > 0 ? formatDuration(history.elapsed) : "–",
          history.device.map { String($0.prefix { $0 != "," }) } ?? "–",
        ])
      }
      try Output.line(table.text)
      for problem in runs.flatMap(\.problems) { Log.line("warning: \(problem)") }
    }

    /// The runs, in the order in which people count: run-2 before run-10.
    private func records() throws -> [RunRecord] {
      if RunFolder(folder).isRun { return [try RunRecord(folder)] }
      guard FileSystem.exists(folder) else {
        throw CommandError("\(folder): there is no such folder; `mayfly train` makes runs there, or name another")
      }
      return try FileSystem.names(in: folder).sorted { $0.compare($1, options: .numeric) == .orderedAscending }
        .map { Path.join(folder, $0) }.filter { RunFolder($0).isRun }.map { try RunRecord($0) }
    }
  }

  struct Show: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Show a run: its settings, its curve, what happened, its checkpoints.")

    @Argument(help: "A run's folder.")
    var folder: String

    @Flag(help: "Print one JSON document.")
    var json = false

    func run() throws {
      let run = try RunRecord(folder)
      if json { return try Output.json(document(run)) }
      try Output.line(text(run))
      for problem in run.problems { Log.line("warning: \(problem)") }
    }

    private func document(_ run: RunRecord) -> JSON {
      var fields = run.json.object ?? JSONObject()
      var (settings, events) = (JSONObject(), JSONObject())
      for setting in run.changedSettings { settings[setting.key] = .string(setting.value) }
      for event in run.history.incidents { events[event.name] = JSON(event.count) }
      fields["settings"] = .object(settings)
      fields["events"] = .object(events)
      if let plan = run.planOutcome { fields["plan"] = plan.json }
      fields["evaluations"] = .array(
        run.history.evaluations.map {
          [
            "step": JSON($0.step), "loss": .number($0.loss), "accuracy": .number($0.accuracy),
            "bits_per_byte": $0.bitsPerByte.map { .number($0) } ?? .null,
          ]
        })
      fields["checkpoints"] = .array(
        run.checkpoints.map { ["step": JSON($0.step), "links": .array($0.links.map { .string($0) })] })
      return .object(fields)
    }

    private func text(_ run: RunRecord) -> String {
      let history = run.history
      var rows = [("run", "\(run.folder.path), \(run.state.rawValue)")]
      let model = [
        run.settings["model.architecture"], history.parameters.map { "\(compact(Double($0))) parameters" },
      ].compactMap(\.self).joined(separator: ", ")
      if !model.isEmpty { rows.append(("model", model)) }
      if let device = history.device { rows.append(("device", device)) }
      if let last = history.lastUpdate {
        let tokens = compact(Double(last.tokens))
        rows.append(("trained", "\(last.step) steps, \(tokens) tokens, \(formatDuration(history.elapsed))"))
        rows.append(("training loss", Sparkline.text(run.curve, width: 48) + "  \(fixed(last.loss, 4))"))
      }
      if let last = history.lastEvaluation, let best = history.bestEvaluation {
        rows.append(
          ("validation loss", Sparkline.text(history.evaluations.map(\.loss), width: 48) + "  \(fixed(last.loss, 4))"))
        let bits = best.bitsPerByte.map { ", \(fixed($0, 3)) bits per byte" } ?? ""
        rows.append(
          ("best", "\(fixed(best.loss, 4))\(bits), accuracy \(fixed(100 * best.accuracy, 1)) %, at step \(best.step)"))
      }
      if let plan = run.planOutcome { rows.append(("plan", plan.text)) }
      for event in history.incidents {
        rows.append(("event", "\(event.count) × \(event.name.replacing("_", with: " "))"))
      }
      for checkpoint in run.checkpoints {
        let links = checkpoint.links.isEmpty ? "" : ": " + checkpoint.links.joined(separator: ", ")
        rows.append(("checkpoint", "step \(checkpoint.step)\(links)"))
      }
      var text = rows.map { $0.0.padding(toLength: 17, withPad: " ", startingAt: 0) + $0.1 }.joined(separator: "\n")
      let changed = run.changedSettings
      if !changed.isEmpty {
        var table = TextTable(heads: ["setting", "here", "by default"], left: [0, 1, 2])
        table.rows = changed.map { [$0.key, $0.value, $0.usual] }
        text += "\n\n" + table.text
      }
      return text
    }
  }

  struct Compare: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Compare runs: settings that differ, best losses, and losses at equal time and equal tokens.")

    @Argument(help: "Folders of runs.")
    var folders: [String]

    @Flag(help: "Print one JSON document.")
    var json = false

    func validate() throws {
      if folders.count < 2 { throw ValidationError("give two runs or more") }
    }

    func run() throws {
      let comparison = RunComparison(runs: try folders.map { try RunRecord($0) })
      if json { return try Output.json(comparison.json) }
      try Output.line(comparison.text)
      for problem in comparison.runs.flatMap(\.problems) { Log.line("warning: \(problem)") }
    }
  }
}
