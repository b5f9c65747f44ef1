package import Compute

extension Transformer {
  /// Every parameter with its shape, in the order of the forward pass.
  package var parameterLayout: TensorLayout {
    let config = config
    var layout = TensorLayout()
    func addNorm(_ name: String) {
      if config.normsHaveWeights { layout.add(name + ".weight", [config.hiddenSize]) }
      if config.normsHaveBiases { layout.add(name + ".bias", [config.hiddenSize]) }
    }
    /// - Parameter rows: those of the matrices that lie on top of each other; nil: it is one.
    func addLinear(_ name: String, _ outputs: Int, _ inputs: Int, rows: [Int]? = nil, bias: Bool) {
      layout.add(name + ".weight", [outputs, inputs], role: .matrix(rows: rows ?? [outputs]))
      if bias { layout.add(name + ".bias", [outputs]) }
    }
    let queryWidth = config.heads * config.headSize
    layout.add("embedding", [config.vocabularySize, config.hiddenSize], role: .embedding)
    if config.positions != .rotary {
      layout.add(
        "positions", [config.maxPositions, config.hiddenSize], role: .embedding,
        isTrainable: config.positions == .learned)
    }
    if config.tokenTypes > 0 { layout.add("tokenTypes", [config.tokenTypes, config.hiddenSize], role: .embedding) }
    if config.normalizesEmbeddings { addNorm("embeddingNorm") }
    for layer in 0..<config.layers {
      let name = "layers.\(layer)."
      addNorm(name + "attentionNorm")
      let keyWidth = config.keyValueHeads * config.headSize
      addLinear(
        name + "qkv", queryWidth + 2 * keyWidth, config.hiddenSize, rows: [queryWidth, keyWidth, keyWidth],
        bias: config.attentionBias)
      if config.queryKeyNorm == .beforeRotary {
        layout.add(name + "queryNorm.weight", [config.headSize])
        layout.add(name + "keyNorm.weight", [config.headSize])
      }
      addLinear(name + "attentionOutput", config.hiddenSize, queryWidth, bias: config.attentionBias)
      addNorm(name + "mlpNorm")
      if config.convolutionTaps > 0 { layout.add(name + "convolution", [config.convolutionTaps, config.hiddenSize]) }
      let parts = config.isGated ? 2 : 1
      addLinear(
        name + "mlpInput", parts * config.intermediateSize, config.hiddenSize,
        rows: [Int](repeating: config.intermediateSize, count: parts), bias: config.mlpBias)
      addLinear(name + "mlpOutput", config.hiddenSize, config.intermediateSize, bias: config.mlpBias)
    }
    if !config.isPostNorm { addNorm("finalNorm") }
    if config.isClassifier {
      layout.add(Self.scoreName, [config.labels.count, config.hiddenSize])
      return layout
    }
    if config.transformsHead {
      addLinear("headDense", config.hiddenSize, config.hiddenSize, bias: true)
      addNorm("headNorm")
    }
    if !config.tiesEmbeddings { layout.add("head", [config.vocabularySize, config.hiddenSize]) }
    if config.headHasBias { layout.add("head.bias", [config.vocabularySize]) }
    return layout
  }

  /// The caches of keys and values, and of what convolutions read, for `batch` sequences of up to `capacity` tokens.
  package func cacheLayout(batch: Int, capacity: Int) -> TensorLayout {
    var layout = TensorLayout()
    let shape: Shape = [batch, capacity, config.keyValueHeads * config.headSize]
    for layer in 0..<config.layers {
      layout.add("layers.\(layer).keys", shape)
      layout.add("layers.\(layer).values", shape)
      if config.convolutionTaps > 0 {
        layout.add("layers.\(layer).convolution", [batch, capacity, config.hiddenSize])
      }
    }
    return layout
  }
}
