import Compute
import Formats
import Testing
import Training

@Suite("The guard against spikes")
struct SpikeGuardTests {
  /// Reports of a model that learns: losses from 8 down to 4 with noise, norms about 1.
  private func ordinary(_ step: Int, seed: UInt64 = 1) -> UpdateReport {
    let chance = Philox(seed: seed)
    func noise(_ site: UInt64) -> Double { Double(chance.uniform(site &* 1_000_003 &+ UInt64(step))) * 2 - 1 }
    return UpdateReport(loss: 4 + 4 / (1 + Double(step) / 50) + 0.3 * noise(1), gradientNorm: 1 + 0.5 * noise(2))
  }

  /// A guard that has seen an ordinary run.
  private func experienced(_ steps: Int, seed: UInt64 = 1) -> SpikeGuard {
    var guarding = SpikeGuard()
    for step in 1...steps {
      #expect(guarding.note(judged(ordinary(step, seed: seed), guarding, step), step: step) == nil)
    }
    return guarding
  }

  /// A report as a device makes it, which skips what is beyond the limits.
  private func judged(_ report: UpdateReport, _ guarding: SpikeGuard, _ step: Int) -> UpdateReport {
    let limits = guarding.limits(step: step)
    var report = report
    report.isApplied = report.isFinite && report.loss <= limits.loss && report.gradientNorm <= limits.gradientNorm
    return report
  }

  @Test("lets an ordinary run alone", arguments: 1...20 as ClosedRange<UInt64>)
  func ordinaryRun(seed: UInt64) {
    let guarding = experienced(3000, seed: seed)
    #expect(guarding.isWell && guarding.complaint == nil)
  }

  @Test("knows no limits before it has seen enough")
  func beginning() {
    #expect(experienced(10).limits(step: 11) == SpikeGuard.Limits())
    #expect(SpikeGuard().complaint == nil)
  }

  @Test("skips a spike of the loss or the norm, says which, and is well again after it")
  func spikes() {
    var guarding = experienced(200)
    let loss = UpdateReport(loss: 12, gradientNorm: 1)
    #expect(guarding.note(judged(loss, guarding, 201), step: 201) == .loss)
    #expect(!guarding.isWell)
    let norm = UpdateReport(loss: 4.8, gradientNorm: 50)
    #expect(guarding.note(judged(norm, guarding, 202), step: 202) == .gradientNorm)
    #expect(guarding.note(UpdateReport(loss: .nan, gradientNorm: .nan), step: 203) == .notFinite)
    #expect(guarding.complaint == nil)
    #expect(guarding.note(judged(ordinary(204), guarding, 204), step: 204) == nil)
    #expect(guarding.isWell)
  }

  @Test("asks to go back after five skipped updates, to before the weights that they were made with")
  func series() {
    var guarding = experienced(200)
    for step in 201...205 {
      #expect(guarding.complaint == nil)
      _ = guarding.note(UpdateReport(loss: .infinity, gradientNorm: .nan), step: step)
    }
    #expect(guarding.complaint != nil)
    #expect(guarding.lastGoodStep == 199)
  }

  @Test("asks to go back where the loss stays far above its best", arguments: [7.0, 9.0, 30.0])
  func high(loss: Double) {
    var guarding = experienced(400)
    var step = 400
    while guarding.complaint == nil, step < 1000 {
      step += 1
      // As a rate that is too high leaves it: finite, and no spike by the standards of the last updates.
      var report = ordinary(step)
      report.loss += loss - 4
      _ = guarding.note(report, step: step)
    }
    #expect((500..<800).contains(step))
    #expect((300...400).contains(guarding.lastGoodStep))
  }

  @Test("asks to go back where the loss never falls below where it began")
  func neverLearns() {
    var guarding = SpikeGuard()
    var step = 0
    while guarding.complaint == nil, step < 1000 {
      step += 1
      var report = ordinary(0, seed: UInt64(step))
      if step > 3 { report.loss += 1.5 }
      _ = guarding.note(report, step: step)
    }
    #expect(step < 500)
    #expect(guarding.lastGoodStep <= 1)
  }

  @Test("waits while a loss that has jumped comes down again, as where other text begins")
  func recovers() {
    var guarding = experienced(400)
    for step in 401...2000 {
      var report = ordinary(step)
      report.loss += 4 / (1 + Double(step - 400) / 200)
      _ = guarding.note(report, step: step)
      #expect(guarding.complaint == nil)
    }
    #expect(guarding.isWell)
  }

  @Test("takes nothing from updates of nothing but padding")
  func padding() {
    var guarding = experienced(200)
    let before = guarding.limits(step: 400)
    for step in 201...399 { #expect(guarding.note(UpdateReport(), step: step) == nil) }
    #expect(guarding.limits(step: 400) == before)
    #expect(guarding.isWell)
  }

  @Test("decides the same whether the update before is reported or not, and after it was written and read")
  func ahead() throws {
    var guarding = SpikeGuard()
    for step in 1...300 {
      let early = guarding.limits(step: step + 1)
      _ = guarding.note(step.isMultiple(of: 7) ? UpdateReport(loss: .nan) : ordinary(step), step: step)
      #expect(guarding.limits(step: step + 1) == early)
    }
    let text = guarding.json.serialized()
    #expect(SpikeGuard(json: try JSON.parse(Array(text.utf8))) == guarding)
  }

  @Test("reads nothing that no training leaves")
  func badJSON() throws {
    var object = try #require(experienced(100).json.object)
    for (key, value) in [
      ("losses", JSON.null), ("norms", [1, 2]), ("newest", -1), ("last_step", "x"),
      ("high_since", JSON(Int.min)), ("lost_since", JSON(Int.min)), ("lost_since", 101),
    ] as [(String, JSON)] {
      let good = object[key]
      object[key] = value
      #expect(SpikeGuard(json: .object(object)) == nil, "\(key)")
      object[key] = good
    }
  }

  @Test("takes nothing for a spike where it has failed before")
  func pardons() {
    var guarding = experienced(200)
    guarding.pardon(until: 250)
    #expect(guarding.limits(step: 260) == SpikeGuard.Limits())
    #expect(guarding.limits(step: 400) != SpikeGuard.Limits())
  }
}
