import Evaluation
import Formats
import Serving
import Synchronization
import Training

/// A training's report as a live page.
final class DashboardView: TrainingObserver, Sendable {
  /// What the page shows. The trainer's thread adds to it, the server's threads read it.
  private struct Content: Sendable {
    var history = RunHistory()
    var settings = ""
    var samples: [(name: String, text: String)] = []
  }

  let name = "dashboard"
  private let address: DashboardAddress
  private let folder: RunFolder
  private let content = Mutex(Content())
  private let dashboard = Mutex<Dashboard?>(nil)

  init(_ address: DashboardAddress, _ folder: RunFolder) { (self.address, self.folder) = (address, folder) }

  func observe(_ event: TrainingEvent) throws {
    if case .started(let run) = event { try start(run) }
    content.withLock { content in
      if let line = event.line { content.history.add(line) }
      if case .sampled(let step, let text) = event { content.samples.append(("step \(step)", text)) }
    }
  }

  func finish() { dashboard.withLock { $0 }?.close() }

  private func start(_ run: RunDescription) throws {
    var first = Content()
    first.settings = run.settings.yaml
    if run.firstStep > 0 {
      first.history = RunHistory(metrics: try FileSystem.read(folder.metricsPath))
      first.samples = try folder.samples()
    }
    content.withLock { [first] in $0 = first }
    let name = Path.name(folder.path)
    let dashboard = try Dashboard(address, title: RunReport.title(of: name)) { [weak self] in
      guard let now = self?.content.withLock({ $0 }) else { return "" }
      return RunReport(name: name, history: now.history, settings: now.settings, samples: now.samples).body
    }
    Log.line("the training's page is at \(dashboard.url)")
    self.dashboard.withLock { $0 = dashboard }
  }
}
