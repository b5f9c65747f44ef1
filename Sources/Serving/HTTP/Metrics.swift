import Formats
import Foundation
import Synchronization

/// Counts what is served, and writes it in Prometheus' text format.
final class Metrics: Sendable {
  private struct Answered: Hashable {
    let route: String
    let status: Int
  }

  private struct State {
    var requests: [Answered: Int] = [:]
    var seconds = Histogram()
    var secondsToFirstToken = Histogram()
    var promptTokens = 0
    var generatedTokens = 0
  }

  private let state = Mutex(State())

  func answered(_ route: String, status: Int, seconds: Double) {
    state.withLock { state in
      state.requests[Answered(route: route, status: status), default: 0] += 1
      state.seconds.add(seconds)
    }
  }

  func firstToken(seconds: Double) { state.withLock { $0.secondsToFirstToken.add(seconds) } }

  func took(_ usage: Usage) {
    state.withLock { state in
      state.promptTokens += usage.prompt
      state.generatedTokens += usage.completion
    }
  }

  /// - Parameters:
  ///   - waiting: requests in the queue.
  ///   - running: requests that are computed.
  func text(waiting: Int, running: Int) -> String {
    let state = state.withLock { $0 }
    var page = MetricsPage()
    let requests = state.requests.sorted { ($0.key.route, $0.key.status) < ($1.key.route, $1.key.status) }
    page.add(
      "mayfly_requests_total", "counter", "Requests answered.",
      requests.map { ("{route=\"\($0.key.route)\",status=\"\($0.key.status)\"}", Double($0.value)) })
    page.add("mayfly_queue_length", "gauge", "Requests that wait.", [("", Double(waiting))])
    page.add("mayfly_running", "gauge", "Requests that are computed.", [("", Double(running))])
    page.add("mayfly_prompt_tokens_total", "counter", "Tokens read.", [("", Double(state.promptTokens))])
    page.add("mayfly_generated_tokens_total", "counter", "Tokens generated.", [("", Double(state.generatedTokens))])
    page.add("mayfly_request_seconds", "Time to the end of an answer.", state.seconds)
    page.add("mayfly_first_token_seconds", "Time to an answer's first token.", state.secondsToFirstToken)
    if let bytes = Self.residentMemory {
      page.add("process_resident_memory_bytes", "gauge", "Memory in use.", [("", Double(bytes))])
    }
    return page.text
  }

  /// Nil where the system doesn't say.
  private static var residentMemory: Int? {
    guard let statm = try? FileSystem.read("/proc/self/statm") else { return nil }
    let fields = String(decoding: statm, as: UTF8.self).split(separator: " ")
    return fields.count > 1 ? Int(fields[1]).map { $0 * Int(sysconf(Int32(_SC_PAGESIZE))) } : nil
  }
}

/// How many values were at most as large as each bound.
struct Histogram: Sendable {
  static let bounds = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100]

  private(set) var counts = [Int](repeating: 0, count: bounds.count)
  private(set) var count = 0
  private(set) var sum = 0.0

  mutating func add(_ value: Double) {
    for (index, bound) in Self.bounds.enumerated() where value <= bound { counts[index] += 1 }
    count += 1
    sum += value
  }
}

private struct MetricsPage {
  var text = ""

  mutating func add(_ name: String, _ kind: String, _ help: String, _ values: [(labels: String, value: Double)]) {
    text += "# HELP \(name) \(help)\n# TYPE \(name) \(kind)\n"
    for (labels, value) in values { text += "\(name)\(labels) \(number(value))\n" }
  }

  mutating func add(_ name: String, _ help: String, _ histogram: Histogram) {
    add(name, "histogram", help, [])
    for (bound, count) in zip(Histogram.bounds, histogram.counts) {
      text += "\(name)_bucket{le=\"\(number(bound))\"} \(count)\n"
    }
    text += "\(name)_bucket{le=\"+Inf\"} \(histogram.count)\n"
    text += "\(name)_sum \(number(histogram.sum))\n\(name)_count \(histogram.count)\n"
  }

  private func number(_ value: Double) -> String {
    Int(exactly: value).map(String.init) ?? "\(value)"
  }
}
