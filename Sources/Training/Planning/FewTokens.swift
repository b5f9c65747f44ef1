/// What lets a model learn more from few tokens.
package enum FewTokens {
  /// Fewer than these are few. What `mayfly` gains over `nanochat` fades with more text (docs/experiments.md), and nanochat is
  /// what other tools know.
  package static let limit = 8e6

  /// Settings for a run that reads so many tokens of its text, however often, where nothing else was asked for.
  package static func settings(tokens: Double) -> [SettingOverrides.Assignment] {
    tokens < limit ? [("model.architecture", "mayfly")] : []
  }
}
