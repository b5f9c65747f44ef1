import Foundation

/// What keeps a model from learning a text by heart that it reads many times, so that more passes go on to help. The figures:
/// docs/experiments.md, "A small text, read more often still".
package enum SmallText {
  /// A second reading is as good as new text: Muennighoff et al., "Scaling Data-Constrained Language Models",
  /// arXiv:2305.16264, figure 1.
  private static let harmlessPasses = 2.0
  private static let usualWeightDecay = Double(TrainSettings().weightDecay)

  /// Passes over a text after which a model with little against it begins to learn the text by heart: what it makes of other
  /// text gets worse.
  ///
  /// - Parameters:
  ///   - parameters: those of the layers' matrices.
  ///   - trainTokens: those of the text.
  static func passesToHeart(parameters: Int, trainTokens: Double) -> Double {
    41 * pow(trainTokens / 1e6, 0.73) / pow(Double(parameters) / 1e6, 0.4)
  }

  /// Settings for a text that is read so often: they grow with the passes, up to where any number of passes does no harm,
  /// which is the higher the smaller the text.
  ///
  /// - Parameters:
  ///   - parameters: those of the layers' matrices.
  ///   - trainTokens: those of the text.
  ///   - cutsAnew: whether words can be cut into other tokens.
  package static func settings(
    passes: Double, parameters: Int, trainTokens: Double, cutsAnew: Bool
  ) -> [SettingOverrides.Assignment] {
    let danger = passes / passesToHeart(parameters: parameters, trainTokens: trainTokens)
    guard passes > harmlessPasses, danger > 0.4 else { return [] }
    let millions = trainTokens / 1e6
    let mostDropout = min(0.4, 0.093 * pow(millions, -0.3))
    let mostWeightDecay = min(1, max(usualWeightDecay, 0.14 * pow(millions, -0.5)))
    // Weight decay does more harm than passes that are hardly dangerous.
    let weightDecay = usualWeightDecay + min(1, (danger - 0.7) / 0.7) * (mostWeightDecay - usualWeightDecay)

    var settings = [("model.dropout", min(mostDropout, 0.04 * danger))]
    if cutsAnew { settings.append(("data.bpe_dropout", min(0.05, 0.02 * danger))) }
    if weightDecay > usualWeightDecay { settings.append(("train.weight_decay", weightDecay)) }
    return settings.map { ($0.0, "\(($0.1 * 100).rounded() / 100)") } + [("train.patience", "3")]
  }
}
