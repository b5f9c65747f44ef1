import Foundation
import Testing
import Training

@Suite("The learning rate")
struct ScheduleTests {
  private func schedule(_ change: (inout TrainSettings) -> Void) -> Schedule {
    var settings = TrainSettings()
    settings.minLearningRateRatio = 0.1
    settings.warmupSteps = 10
    change(&settings)
    return Schedule(settings)
  }

  @Test("rises in a line to the peak, whatever comes then", arguments: TrainSettings.Decay.allCases)
  func warmup(decay: TrainSettings.Decay) {
    let schedule = schedule { $0.schedule = decay }
    for step in 1...10 {
      let factor = schedule.factor(step: step, progress: 0.1, warmupEnd: 0.1)
      #expect(abs(Double(factor) - Double(step) / 10) < 1e-6)
    }
  }

  @Test("decays from there to its floor at the end")
  func decay() {
    let points: [(TrainSettings.Decay, Double, Double)] = [
      (.cosine, 0.2, 1), (.cosine, 0.4, 0.1 + 0.5 * (1 + cos(.pi / 4)) * 0.9), (.cosine, 0.6, 0.55), (.cosine, 1, 0.1),
      (.linear, 0.2, 1), (.linear, 0.4, 0.775), (.linear, 0.6, 0.55), (.linear, 1, 0.1),
      (.constant, 0.2, 1), (.constant, 1, 1),
      (.wsd, 0.2, 1), (.wsd, 0.6, 1), (.wsd, 0.8, 0.55), (.wsd, 1, 0.1),
    ]
    for (kind, progress, expected) in points {
      let factor = schedule { $0.schedule = kind }.factor(step: 11, progress: progress, warmupEnd: 0.2)
      #expect(abs(Double(factor) - expected) < 1e-6, "\(kind) at \(progress)")
    }
  }

  @Test("is exactly the floor at the end, and never below", arguments: [TrainSettings.Decay.cosine, .linear, .wsd])
  func floor(decay: TrainSettings.Decay) {
    let schedule = schedule { ($0.schedule, $0.minLearningRateRatio) = (decay, 0.25) }
    let floor: Float = 0.25
    #expect(schedule.factor(step: 50, progress: 1, warmupEnd: 0.3) == floor)
    #expect(schedule.factor(step: 50, progress: 1.5, warmupEnd: 0.3) == floor)
    #expect(schedule.factor(step: 50, progress: 1, warmupEnd: 1) == floor)
    for step in 10..<100 {
      #expect(schedule.factor(step: step, progress: Double(step) / 100, warmupEnd: 0.1) >= floor)
    }
  }

  @Test("begins to decay at once without a warmup")
  func noWarmup() {
    let schedule = schedule { ($0.warmupSteps, $0.schedule) = (0, .linear) }
    #expect(abs(schedule.factor(step: 1, progress: 0, warmupEnd: 0) - 1) < 1e-6)
    #expect(abs(schedule.factor(step: 1, progress: 0.5, warmupEnd: 0) - 0.55) < 1e-6)
  }
}

@Suite("Muon's momentum")
struct MomentumTests {
  @Test("rises in a line from 0.85, and stays where it is set")
  func warmup() {
    var settings = TrainSettings()
    (settings.momentum, settings.momentumWarmup) = (0.95, 200)
    for (step, expected) in [(0, 0.85), (100, 0.9), (200, 0.95), (1000, 0.95)] as [(Int, Float)] {
      #expect(abs(settings.momentum(atStep: step) - expected) < 1e-6, "update \(step)")
    }
  }

  @Test("is what is set from the first update on, where that is less or there is no warmup", arguments: [0.8, 0.95])
  func noWarmup(momentum: Float) {
    var settings = TrainSettings()
    (settings.momentum, settings.momentumWarmup) = (momentum, momentum < 0.85 ? 200 : 0)
    for step in [0, 1, 100] { #expect(settings.momentum(atStep: step) == momentum) }
  }
}

@Suite("Durations")
struct DurationTests {
  @Test("are read in seconds, minutes, hours and days")
  func parse() {
    let good: [(String, Double)] = [
      ("90s", 90), ("3m", 180), ("1.5h", 5400), ("24h", 86_400), ("1d", 86_400), ("1h30m", 5400), ("0.5s", 0.5),
      ("1d2h3m4s", 93_784),
    ]
    for (text, seconds) in good { #expect(parseDuration(text) == seconds, "\(text)") }
    for text in ["", "90", "s", "-3m", "3 m", "1h30", "h1", "1.2.3s", "0s", "1e5s", "infs", "nans", "٣m", "3M", "1hh"] {
      #expect(parseDuration(text) == nil, "\(text)")
    }
    #expect(parseDuration(String(repeating: "9", count: 400) + "d") == nil)
  }

  @Test("are written for people")
  func format() {
    let texts: [(Double, String)] = [
      (12, "12s"), (0.4, "0s"), (59.6, "1m 00s"), (200, "3m 20s"), (3599.6, "1h 00m"), (7500, "2h 05m"), (-5, "0s"),
      (.nan, "0s"), (90_000, "25h 00m"),
    ]
    for (seconds, text) in texts { #expect(formatDuration(seconds) == text) }
    #expect(!formatDuration(.infinity).isEmpty)
  }
}

@Suite("The distance between words")
struct EditDistanceTests {
  @Test("counts insertions, removals and substitutions")
  func examples() {
    let examples: [(String, String, Int)] = [
      ("", "", 0), ("", "abc", 3), ("abc", "", 3), ("kitten", "sitting", 3), ("flaw", "lawn", 2), ("abc", "abc", 0),
      ("train.lr", "train.eps", 3),
    ]
    for (a, b, distance) in examples {
      #expect(editDistance(a, b) == distance)
      #expect(editDistance(b, a) == distance)
    }
  }
}
