import Training

/// Somebody who shows or records what a training does.
protocol TrainingObserver: AnyObject {
  /// What it is, for the line that says that it failed: "TensorBoard events".
  var name: String { get }
  func observe(_ event: TrainingEvent) throws
  /// Nothing follows.
  func finish() throws
}

/// Those who watch a training. One that fails is let go after that is said once: training is worth more than a page
/// about it.
final class Observers {
  private var all: [any TrainingObserver]

  init(_ observers: [any TrainingObserver]) { all = observers }

  func observe(_ event: TrainingEvent) { each { try $0.observe(event) } }

  func finish() { each { try $0.finish() } }

  private func each(_ action: (any TrainingObserver) throws -> Void) {
    all.removeAll { observer in
      do {
        try action(observer)
        return false
      } catch {
        Log.line("warning: \(observer.name): \(error); the training goes on without")
        return true
      }
    }
  }
}
