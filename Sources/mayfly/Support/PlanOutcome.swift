import Evaluation
import Formats
import Foundation
import Training

/// What a run was planned to reach and to take, beside what it has reached and taken.
struct PlanOutcome {
  struct Result {
    let loss: Double
    let memory: Int
  }

  let planned, reached: Result
  /// What losses are in: "bits per byte" or, for ids without text, "bits per token".
  let unit: String

  /// Nil where the run had no plan, or hasn't come to its end.
  init?(_ folder: RunFolder, _ history: RunHistory) {
    guard history.isFinished, let plan = (try? FileSystem.readJSON(folder.planPath))?["chosen"],
      let memory = plan["memory_bytes"]?.int, let taken = history.peakMemory, let last = history.lastEvaluation
    else { return nil }
    if let bits = plan["bits_per_byte"]?.double, let reached = last.bitsPerByte {
      (planned, self.reached) = (Result(loss: bits, memory: memory), Result(loss: reached, memory: taken))
      unit = "bits per byte"
    } else if let bits = plan["bits_per_token"]?.double {
      let reached = last.loss / log(2)
      (planned, self.reached) = (Result(loss: bits, memory: memory), Result(loss: reached, memory: taken))
      unit = "bits per token"
    } else {
      return nil
    }
  }

  var text: String {
    "planned \(Self.text(planned, unit)); reached \(Self.text(reached, unit))"
  }

  private static func text(_ result: Result, _ unit: String) -> String {
    "\(fixed(result.loss, 3)) \(unit) in \(result.memory >> 20) MiB"
  }

  var json: JSON {
    func json(_ result: Result) -> JSON {
      [unit.replacing(" ", with: "_"): .number(result.loss), "memory_bytes": JSON(result.memory)]
    }
    return ["planned": json(planned), "reached": json(reached)]
  }
}
