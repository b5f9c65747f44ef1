package import Formats

/// How a run has gone: what the lines of `metrics.jsonl` tell, read from the file or taken as they come.
package struct RunHistory: Sendable {
  package struct Update: Sendable {
    package let step, tokens: Int
    package let loss, accuracy, learningRate, gradientNorm, tokensPerSecond, elapsed: Double
  }

  package struct Evaluation: Sendable {
    package let step: Int
    package let loss, accuracy: Double
    package let bitsPerByte: Double?
    package let elapsed: Double
  }

  /// How large the weights of a model's parts were.
  package struct Layers: Sendable {
    package let step: Int
    package let rms: [(name: String, value: Double)]
  }

  private var thinnedUpdates = Thinned<Update>(limit: kept)
  private var thinnedEvaluations = Thinned<Evaluation>(limit: kept)
  private var thinnedLayers = Thinned<Layers>(limit: 200)
  package private(set) var lastUpdate: Update?
  package private(set) var lastEvaluation: Evaluation?
  package private(set) var bestEvaluation: Evaluation?
  /// What happened how often, in the order in which it happened first.
  package private(set) var events: [(name: String, count: Int)] = []
  /// Used in all; nil where nobody measured it.
  package private(set) var joules: Double?
  /// Of the process that trained last.
  package private(set) var device: String?
  package private(set) var parameters: Int?
  /// Whether the run has come to its end, and none has gone on with it.
  package private(set) var isFinished = false
  /// Bytes that the process took at most, where the device computes; known at its end.
  package private(set) var peakMemory: Int?
  /// Seconds.
  package private(set) var elapsed = 0.0
  /// Lines that are none: what a killed process left half, or somebody changed.
  package private(set) var brokenLines = 0

  /// Updates that are kept at most, evenly spread: a long run has millions.
  private static let kept = 20_000

  package init() {}

  /// - Parameter metrics: the bytes of metrics.jsonl; lines that can't be read are counted and passed over.
  package init(metrics: [UInt8]) {
    let lines = metrics.split(separator: UInt8(ascii: "\n"))
    let stride = max(1, lines.count / Self.kept)
    let train = Array("{\"kind\":\"train\"".utf8)
    for (index, line) in lines.enumerated() {
      if !index.isMultiple(of: stride), index < lines.count - stride, line.starts(with: train) { continue }
      if let json = try? JSON.parse(line), json.object != nil { add(json) } else { brokenLines += 1 }
    }
  }

  package var updates: [Update] { thinnedUpdates.values }
  package var evaluations: [Evaluation] { thinnedEvaluations.values }
  package var layers: [Layers] { thinnedLayers.values }

  /// What went otherwise than planned, how often.
  package var incidents: [(name: String, count: Int)] {
    let starts = events.first { $0.name == "started" }?.count ?? 1
    return events.filter { $0.name != "started" && $0.name != "finished" }
      + (starts > 1 ? [("resumed", starts - 1)] : [])
  }

  /// Takes a line of metrics.jsonl.
  package mutating func add(_ line: JSON) {
    let step = line["step"]?.int ?? 0
    func number(_ key: String) -> Double { line[key]?.double ?? .nan }
    elapsed = max(elapsed, line["elapsed_seconds"]?.double ?? 0)
    switch line["kind"]?.string {
    case "train":
      let update = Update(
        step: step, tokens: line["tokens"]?.int ?? 0, loss: number("loss"), accuracy: number("accuracy"),
        learningRate: number("learning_rate"), gradientNorm: number("grad_norm"),
        tokensPerSecond: number("tokens_per_second"), elapsed: number("elapsed_seconds"))
      lastUpdate = update
      thinnedUpdates.append(update)
    case "eval":
      let evaluation = Evaluation(
        step: step, loss: number("loss"), accuracy: number("accuracy"), bitsPerByte: line["bits_per_byte"]?.double,
        elapsed: number("elapsed_seconds"))
      lastEvaluation = evaluation
      if evaluation.loss < bestEvaluation?.loss ?? .infinity { bestEvaluation = evaluation }
      thinnedEvaluations.append(evaluation)
    case "layers":
      let rms = line["weight_rms"]?.object
      thinnedLayers.append(
        Layers(step: step, rms: (rms?.keys ?? []).compactMap { name in (rms?[name]?.double).map { (name, $0) } }))
    case "energy": joules = (joules ?? 0) + (line["joules"]?.double ?? 0)
    case "event": add(event: line["name"]?.string ?? "?", line)
    default: break
    }
  }

  private mutating func add(event name: String, _ line: JSON) {
    if let index = events.firstIndex(where: { $0.name == name }) {
      events[index].count += 1
    } else {
      events.append((name, 1))
    }
    switch name {
    case "started":
      device = line["device"]?.string
      parameters = line["parameters"]?.int
      isFinished = false
    case "finished":
      peakMemory = line["peak_memory_bytes"]?.int
      isFinished = true
    default: break
    }
  }
}
