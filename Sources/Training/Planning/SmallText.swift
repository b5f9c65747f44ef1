/// What keeps a model from learning a text by heart that it reads many times.
package enum SmallText {
  /// Up to so many passes are nearly as good as new text: Muennighoff et al., "Scaling Data-Constrained Language Models",
  /// arXiv:2305.16264, figure 1.
  package static let passes = 4.0

  /// Settings for a text that is read so often, where nothing else was asked for.
  ///
  /// - Parameter hasText: false: ids only, whose words can't be cut anew.
  package static func settings(passes: Double, hasText: Bool) -> [SettingOverrides.Assignment] {
    guard passes > Self.passes else { return [] }
    return [("model.dropout", "0.05"), ("train.patience", "3")] + (hasText ? [("data.bpe_dropout", "0.02")] : [])
  }
}
