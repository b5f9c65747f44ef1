package import Compute

/// The whole model, forward only; the gradient rules make the rest.
///
/// Vaswani et al., "Attention Is All You Need", arXiv:1706.03762; decoders in the pre-norm form of Radford et al. (2019).
package struct Transformer: Sendable {
  package let config: ModelConfig
  private let heads: HeadLayout

  /// - Throws: ``ComputeError/setting(op:problem:)`` for heads that can't be.
  package init(_ config: ModelConfig) throws(ComputeError) {
    self.config = config
    heads = try config.headLayout
  }

  /// How a layer attends: over the rows at hand while training, over a cache while generating.
  package typealias Attend = (inout Graph, _ qkv: Node, _ layer: Int) throws(ComputeError) -> Node

  // MARK: Forward, from top to bottom

  /// Hidden states after the last norm.
  ///
  /// - Parameters:
  ///   - ids: (B, T) of int32.
  ///   - positions: (B, T) of int32, each below `maxPositions`.
  ///   - dropout: 0 when not training.
  /// - Returns: (B, T, C).
  package func hiddenStates(
    _ graph: inout Graph, ids: Node, positions: Node, dropout: Float, attend: Attend
  ) throws(ComputeError) -> Node {
    let x = try embeddings(&graph, ids: ids, positions: positions, dropout: dropout)  // (B, T, C)
    return try layers(&graph, x, positions: positions, dropout: dropout, attend: attend)
  }

  /// Tokens as vectors that know, unless positions are rotary, where they stand.
  private func embeddings(
    _ graph: inout Graph, ids: Node, positions: Node, dropout: Float
  ) throws(ComputeError) -> Node {
    var x = try graph.embedding(ids, table: graph.parameter("embedding"), scale: config.embeddingScale)  // (B, T, C)
    if config.positions != .rotary {
      x = try graph.add(x, graph.embedding(positions, table: graph.parameter("positions")))
    }
    if config.tokenTypes > 0 {
      // Never set, and so all of kind 0.
      let types = graph.input("tokenTypes", graph.shape(ids), .int32)
      x = try graph.add(x, graph.embedding(types, table: graph.parameter("tokenTypes")))
    }
    if config.normalizesEmbeddings { x = try norm(&graph, x, "embeddingNorm") }
    return try graph.dropout(x, rate: dropout)
  }

  /// All layers, and the norm after the last where the architecture has one.
  ///
  /// - Parameter x: (B, T, C).
  /// - Returns: (B, T, C).
  package func layers(
    _ graph: inout Graph, _ x: Node, positions: Node, dropout: Float, attend: Attend
  ) throws(ComputeError) -> Node {
    var x = x
    for layer in 0..<config.layers {
      let name = "layers.\(layer)."
      x = try sublayer(&graph, x, norm: name + "attentionNorm", projection: name + "attentionOutput", dropout) {
        (graph, h) throws(ComputeError) in
        var qkv = try linear(&graph, h, name + "qkv", bias: config.attentionBias)  // (B, T, (H + 2K)·D)
        qkv = try placed(&graph, qkv, positions: positions, name: name)
        return try attend(&graph, qkv, layer)  // (B, T, H·D)
      }
      x = try sublayer(&graph, x, norm: name + "mlpNorm", projection: name + "mlpOutput", dropout) {
        (graph, h) throws(ComputeError) in
        let seen = config.convolutionTaps > 0 ? try convolution(&graph, h, positions: positions, name: name) : h
        let h = try linear(&graph, seen, name + "mlpInput", bias: config.mlpBias)  // (B, T, F), gated: (B, T, 2F)
        let y =
          config.isGated
          ? try graph.gatedActivation(config.activation, h) : graph.activation(config.activation, h)  // (B, T, F)
        return try graph.dropout(y, rate: config.dropsActivations ? dropout : 0)
      }
    }
    return config.isPostNorm ? x : try norm(&graph, x, "finalNorm")
  }

  /// Loss and accuracy of predicting the targets; kept for the host.
  ///
  /// - Parameter x: (B, T, C), from ``hiddenStates(_:ids:positions:dropout:attend:)``.
  package func loss(
    _ graph: inout Graph, _ x: Node, terms: HeadLoss.Terms, targets: Node, weights: Node, normalizer: Node
  ) throws(ComputeError) -> (losses: Node, correct: Node) {
    try graph.headLoss(
      headInput(&graph, x), weight: graph.parameter(headName), bias: headBias(&graph), softcap: config.softcap,
      terms: terms, targets: targets, weights: weights, normalizer: normalizer)
  }

  /// - Returns: (B, T, V).
  package func logits(_ graph: inout Graph, _ x: Node) throws(ComputeError) -> Node {
    try graph.logits(
      headInput(&graph, x), weight: graph.parameter(headName), bias: headBias(&graph), softcap: config.softcap)
  }

  /// What is projected to the vocabulary: hidden states, in BERT after a layer more.
  private func headInput(_ graph: inout Graph, _ x: Node) throws(ComputeError) -> Node {
    guard config.transformsHead else { return x }
    let h = try linear(&graph, x, "headDense", bias: true)
    return try norm(&graph, graph.activation(config.activation, h), "headNorm")
  }

  /// - Parameter dropout: 0 when not training.
  package func attention(
    _ graph: inout Graph, _ qkv: Node, mask: AttentionMask, dropout: Float = 0
  ) throws(ComputeError) -> Node {
    try graph.attention(qkv, layout: heads, mask: mask, dropout: config.dropsProbabilities ? dropout : 0)
  }

  package func cachedAttention(
    _ graph: inout Graph, _ qkv: Node, positions: Node, layer: Int
  ) throws(ComputeError) -> Node {
    try graph.cachedAttention(
      qkv, positions: positions, keys: graph.state("layers.\(layer).keys"),
      values: graph.state("layers.\(layer).values"), layout: heads)
  }

  // MARK: Parts

  private var headName: String { config.tiesEmbeddings ? "embedding" : "head" }

  private func headBias(_ graph: inout Graph) throws(ComputeError) -> Node? {
    config.headHasBias ? try graph.parameter("head.bias") : nil
  }

  /// x + W·branch(norm(x)), W the projection that ends the branch; post-norm: norm(x + W·branch(x)).
  private func sublayer(
    _ graph: inout Graph, _ x: Node, norm name: String, projection: String, _ dropout: Float,
    branch: (inout Graph, Node) throws(ComputeError) -> Node
  ) throws(ComputeError) -> Node {
    let h = try branch(&graph, config.isPostNorm ? x : norm(&graph, x, name))
    let bias = projection.hasSuffix("mlpOutput") ? config.mlpBias : config.attentionBias
    let y =
      dropout > 0
      ? try graph.add(x, graph.dropout(linear(&graph, h, projection, bias: bias), rate: dropout))
      : try linear(&graph, h, projection, bias: bias, residual: x)
    return config.isPostNorm ? try norm(&graph, y, name) : y
  }

  /// Queries and keys that know their position, normalized where the architecture does so.
  private func placed(
    _ graph: inout Graph, _ qkv: Node, positions: Node, name: String
  ) throws(ComputeError) -> Node {
    var qkv = qkv
    if config.queryKeyNorm == .beforeRotary {
      qkv = try graph.headNorm(
        qkv, layout: heads, queryWeight: graph.parameter(name + "queryNorm.weight"),
        keyWeight: graph.parameter(name + "keyNorm.weight"), epsilon: config.normEpsilon)
    }
    if config.positions == .rotary {
      qkv = try graph.rotary(
        qkv, positions: positions, layout: heads,
        frequencies: RotaryFrequencies(base: config.rotaryBase, headSize: config.headSize),
        maxPositions: config.maxPositions, inverse: config.architecture.followsNanochat)
    }
    if config.queryKeyNorm == .afterRotary {
      qkv = try graph.headNorm(qkv, layout: heads, epsilon: config.normEpsilon)
    }
    return qkv
  }

  /// What a token's feed-forward layer sees: it and the tokens before, of which the cache knows those of earlier passes.
  private func convolution(
    _ graph: inout Graph, _ h: Node, positions: Node, name: String
  ) throws(ComputeError) -> Node {
    let name = name + "convolution"
    return try graph.causalConvolution(
      h, weight: graph.parameter(name), positions: positions,
      cache: graph.states[name] == nil ? nil : graph.state(name))
  }

  private func norm(_ graph: inout Graph, _ x: Node, _ name: String) throws(ComputeError) -> Node {
    try graph.norm(
      config.normKind, x, weight: config.normsHaveWeights ? graph.parameter(name + ".weight") : nil,
      bias: config.normsHaveBiases ? graph.parameter(name + ".bias") : nil, epsilon: config.normEpsilon)
  }

  private func linear(
    _ graph: inout Graph, _ x: Node, _ name: String, bias: Bool, residual: Node? = nil
  ) throws(ComputeError) -> Node {
    try graph.linear(
      x, weight: graph.parameter(name + ".weight"), bias: bias ? graph.parameter(name + ".bias") : nil,
      residual: residual)
  }
}
