import Evaluation
import Formats
import Testing

@Suite("A run's history")
struct RunHistoryTests {
  private func history(_ lines: [String]) -> RunHistory {
    RunHistory(metrics: Array(lines.joined(separator: "\n").utf8))
  }

  @Test("is what the lines say; half of a line, and what is none, is counted and passed over")
  func lines() throws {
    let history = history([
      #"{"kind":"event","step":0,"name":"started","device":"CPU","parameters":7,"elapsed_seconds":0}"#,
      #"{"kind":"train","step":1,"tokens":8,"loss":3.5,"grad_norm":null,"elapsed_seconds":1}"#,
      #"{"kind":"event","step":1,"name":"skipped_update","loss_scale":2}"#,
      "[1]", "\u{FFFD}",
      #"{"kind":"eval","step":1,"split":"val","loss":3,"accuracy":0.5,"bits_per_byte":null,"elapsed_seconds":2}"#,
      #"{"kind":"eval","step":2,"split":"val","loss":4,"accuracy":0.5,"bits_per_byte":2,"elapsed_seconds":3}"#,
      #"{"kind":"layers","step":2,"weight_rms":{"embedding":0.5}}"#,
      #"{"kind":"energy","step":2,"joules":2}"#, #"{"kind":"energy","step":2,"joules":3}"#,
      #"{"kind":"event","step":2,"name":"finished"}"#,
      #"{"kind":"train","step":2,"tok"#,
    ])
    #expect(history.lastUpdate?.loss == 3.5 && history.lastUpdate?.gradientNorm.isNaN == true)
    #expect(history.bestEvaluation?.step == 1 && history.lastEvaluation?.step == 2)
    #expect(history.layers.first?.rms.first?.value == 0.5)
    #expect(history.joules == 5 && history.elapsed == 3)
    #expect(history.isFinished && history.parameters == 7 && history.device == "CPU")
    #expect(history.incidents.map(\.name) == ["skipped_update"])
    #expect(history.brokenLines == 3)
  }

  @Test("of a long run keeps points evenly spread, and the last one")
  func long() {
    var history = RunHistory()
    for step in 1...100_000 { history.add(["kind": "train", "step": JSON(step), "loss": 1]) }
    #expect((10_000...20_000).contains(history.updates.count))
    let steps = history.updates.map(\.step)
    #expect(Set(zip(steps.dropFirst(), steps).map { $0 - $1 }).count == 1)
    #expect(history.lastUpdate?.step == 100_000)
  }

  @Test("of any numbers gives a page")
  func anything() {
    for step in ["1", "-5", "9223372036854775807", "1e300", "null"] {
      let history = history([
        #"{"kind":"train","step":\#(step),"tokens":\#(step),"loss":1e308,"elapsed_seconds":1e308}"#,
        #"{"kind":"train","step":2,"loss":-1e308,"learning_rate":1e-320}"#,
        #"{"kind":"eval","step":\#(step),"loss":1}"#,
      ])
      #expect(RunReport(name: "<run>", history: history, settings: "", samples: []).html.contains("&lt;run&gt;"))
    }
  }
}
