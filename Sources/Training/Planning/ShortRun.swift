/// What lets a model learn more from few tokens.
package enum ShortRun {
  /// Fewer tokens than these are few. What `mayfly` gains over `nanochat` fades as a run gets longer
  /// (docs/experiments.md), and nanochat is what other tools know.
  package static let tokens = 8e6

  /// Settings for a run of so few tokens, where nothing else was asked for.
  ///
  /// - Parameter tokens: of the text that it reads, however often.
  package static func settings(tokens: Double) -> [SettingOverrides.Assignment] {
    tokens < Self.tokens ? [("model.architecture", "mayfly")] : []
  }
}
