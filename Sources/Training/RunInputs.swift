import Formats

/// What a run learns from, each by a text that tells it from others: what a resumed run must be given again.
package struct RunInputs: Sendable, Equatable {
  /// By the option that names them: `--data`, `--val`, `--task`, …
  private var texts: [String: String] = [:]

  package init() {}

  init(json: JSON?) {
    guard let object = json?.object else { return }
    for name in object.keys { texts[name] = object[name]?.string }
  }

  var json: JSON {
    var object = JSONObject()
    for (name, text) in texts.sorted(by: { $0.key < $1.key }) { object[name] = .string(text) }
    return .object(object)
  }

  package subscript(option: String) -> String? {
    get { texts[option] }
    set { texts[option] = newValue }
  }

  /// These, and of what is not given again what was.
  package func after(_ began: RunInputs) -> RunInputs {
    var inputs = self
    inputs.texts.merge(began.texts) { now, _ in now }
    return inputs
  }

  /// What is given now and differs from what a run began with, by the options' names. Runs of earlier versions have
  /// recorded nothing, and nothing differs.
  package func differences(from began: RunInputs) -> [TrainingError] {
    guard !began.texts.isEmpty else { return [] }
    return texts.sorted { $0.key < $1.key }.compactMap { name, text in
      let was = began.texts[name] ?? "not given"
      return was == text ? nil : .changed(what: name, was: was, now: text)
    }
  }
}
