/// What keeps a model from learning a text by heart that it reads many times.
package enum SmallText {
  /// Up to so many passes are nearly as good as new text: Muennighoff et al., "Scaling Data-Constrained Language Models",
  /// arXiv:2305.16264, figure 1.
  package static let passes = 4.0

  /// Settings for a text that is read so often, where nothing else was asked for.
  ///
  /// - Parameter cutsAnew: whether words can be cut into other tokens.
  package static func settings(passes: Double, cutsAnew: Bool) -> [SettingOverrides.Assignment] {
    guard passes > Self.passes else { return [] }
    return [("model.dropout", "0.05"), ("train.patience", "3")] + (cutsAnew ? [("data.bpe_dropout", "0.02")] : [])
  }
}
