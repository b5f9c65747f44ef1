package import Compute

/// What a Transformer is: every choice that its forward pass depends on, in Hugging Face's terms.
package struct ModelConfig: Sendable, Equatable {
  package enum Architecture: String, Sendable, CaseIterable {
    /// Learned positions, layer norms and biases everywhere, GELU, a tied head. Radford et al. (2019).
    case gpt2
    /// Rotary positions, RMS norms, gated SiLU, grouped queries. Touvron et al., arXiv:2302.13971, 2307.09288.
    case llama
    /// As Llama, with normalized queries and keys. Qwen Team, arXiv:2505.09388.
    case qwen3
    /// Norms without weights, rotary positions before normalized queries and keys, ReLU², soft-capped untied head.
    /// Karpathy, nanochat (2025).
    case nanochat
    /// As nanochat, but feed-forward layers also see the tokens before: see ``CausalConvolution``; and logits have no cap.
    /// Ours: small models learn faster by it, and other tools don't know it.
    case mayfly
    /// The classic encoder: post-norm, ReLU, sinusoidal positions, a tied head that fills in masked tokens.
    /// Vaswani et al., arXiv:1706.03762.
    case encoder
    /// The same with learned positions, GELU, normalized embeddings and a head of two layers, as transformers computes
    /// BertForMaskedLM. Devlin et al., arXiv:1810.04805.
    case bert

    /// Whether tokens see both sides: such a model fills in masked tokens and can't continue a text.
    package var isBidirectional: Bool { self == .encoder || self == .bert }
    /// nanochat, and what differs from it in a part only.
    package var followsNanochat: Bool { self == .nanochat || self == .mayfly }

    package static var decoders: [Architecture] { allCases.filter { !$0.isBidirectional } }
  }

  package enum PositionKind: String, Sendable, CaseIterable {
    /// A table that is trained.
    case learned
    /// sin and cos of geometric frequencies. Vaswani et al., arXiv:1706.03762, section 3.5.
    case sinusoidal
    /// Rotations of queries and keys. Su et al., arXiv:2104.09864.
    case rotary
  }

  package var architecture: Architecture
  /// V.
  package var vocabularySize: Int
  /// C.
  package var hiddenSize: Int
  /// L.
  package var layers: Int
  /// H.
  package var heads: Int
  /// K.
  package var keyValueHeads: Int
  /// D.
  package var headSize: Int
  /// F.
  package var intermediateSize: Int
  /// The longest context.
  package var maxPositions: Int
  package var activation: ActivationKind
  package var positions: PositionKind
  package var rotaryBase: Double
  package var normEpsilon: Float
  package var tiesEmbeddings: Bool
  /// Biases of the query, key, value and output projections.
  package var attentionBias: Bool
  /// Biases of the feed-forward layers.
  package var mlpBias: Bool
  package var softcap: Float?
  package var initializerRange: Float
  /// Of embeddings and of each branch before it joins the residual stream; only while training.
  package var dropout: Float
  /// Kinds of segments that have an embedding of their own; every token is of kind 0.
  package var tokenTypes: Int
  package var bosTokenID: Int?
  package var eosTokenID: Int?
  /// Stands where a token is to be filled in.
  package var maskTokenID: Int?
  /// The names that a classifier chooses from, in the order of its logits; empty: the model predicts tokens.
  package var labels: [String] = []
  /// What a classifier's head reads.
  package var pooling = Pooling.mean

  package enum Pooling: String, Sendable, CaseIterable {
    /// The mean of all states of the text.
    case mean
    /// The last token's state, as transformers' classifiers of decoders have it.
    case last

    /// Those of a text's tokens that its vector is made from.
    package func tokens(_ text: Range<Int>) -> Range<Int> {
      switch self {
      case .mean: text
      case .last: max(text.lowerBound, text.upperBound - 1)..<text.upperBound
      }
    }
  }

  // MARK: What follows from the architecture

  package var isClassifier: Bool { !labels.isEmpty }
  package var isBidirectional: Bool { architecture.isBidirectional }
  package var normKind: NormKind { architecture == .gpt2 || isPostNorm ? .layer : .rms }
  /// nanochat's norms only divide.
  package var normsHaveWeights: Bool { !architecture.followsNanochat }
  package var normsHaveBiases: Bool { normKind == .layer }
  /// norm(x + branch(x)) instead of x + branch(norm(x)), and no norm after the last layer.
  package var isPostNorm: Bool { isBidirectional }
  package var normalizesEmbeddings: Bool { architecture.followsNanochat || architecture == .bert }
  /// What embeddings are multiplied by before positions are added. Vaswani et al., section 3.4.
  package var embeddingScale: Float { architecture == .encoder ? Float(hiddenSize).squareRoot() : 1 }
  /// Dropout also strikes attention's probabilities, and what follows the activation.
  package var dropsProbabilities: Bool { isBidirectional }
  package var dropsActivations: Bool { architecture == .encoder }
  /// The head is a linear layer, an activation and a norm before the projection to the vocabulary.
  package var transformsHead: Bool { architecture == .bert }
  /// How many tokens before it a token's feed-forward layer sees.
  package var convolutionTaps: Int { architecture == .mayfly ? 1 : 0 }
  package var headHasBias: Bool { isBidirectional }
  package var isGated: Bool { architecture == .llama || architecture == .qwen3 }

  package enum QueryKeyNorm: Sendable { case none, beforeRotary, afterRotary }

  package var queryKeyNorm: QueryKeyNorm {
    switch architecture {
    case .gpt2, .llama, .encoder, .bert: .none
    case .qwen3: .beforeRotary
    case .nanochat, .mayfly: .afterRotary
    }
  }

  /// - Throws: ``ComputeError/setting(op:problem:)`` for heads that can't be.
  package var headLayout: HeadLayout {
    get throws(ComputeError) {
      try HeadLayout(queryHeads: heads, keyValueHeads: keyValueHeads, headSize: headSize)
    }
  }

  /// An architecture's published choices, for a model of these sizes.
  package init(
    _ architecture: Architecture, vocabularySize: Int, hiddenSize: Int, layers: Int, heads: Int, maxPositions: Int
  ) {
    self.architecture = architecture
    self.vocabularySize = vocabularySize
    self.hiddenSize = hiddenSize
    self.layers = layers
    self.heads = heads
    self.maxPositions = maxPositions
    keyValueHeads = heads
    // 0 where heads don't divide the width: an error, unless a size of their own is set.
    headSize = heads > 0 && hiddenSize.isMultiple(of: heads) ? hiddenSize / heads : 0
    // Gated layers have three matrices: ⅔ of 4C, rounded up to whole cache lines (Shazeer, arXiv:2002.05202).
    let gated = architecture == .llama || architecture == .qwen3
    // A width that no model has is for validate() to refuse; here it must only not overflow.
    let width = max(0, min(hiddenSize, 1 << 32))
    intermediateSize = gated ? aligned(width * 8 / 3, to: 16) : 4 * width
    rotaryBase = 10_000
    dropout = 0
    initializerRange = 0.02
    softcap = nil
    tokenTypes = 0
    switch architecture {
    case .gpt2:
      (activation, positions, normEpsilon) = (.geluTanh, .learned, 1e-5)
      (tiesEmbeddings, attentionBias, mlpBias) = (true, true, true)
    case .llama, .qwen3:
      (activation, positions, normEpsilon) = (.silu, .rotary, 1e-6)
      (tiesEmbeddings, attentionBias, mlpBias) = (false, false, false)
    case .nanochat, .mayfly:
      (activation, positions, normEpsilon) = (.reluSquared, .rotary, 1e-6)
      (tiesEmbeddings, attentionBias, mlpBias) = (false, false, false)
      // Nanochat's own; without one, models learn more in the same time (docs/experiments.md).
      softcap = architecture == .nanochat ? 15 : nil
    case .encoder:
      (activation, positions, normEpsilon) = (.relu, .sinusoidal, 1e-5)
      (tiesEmbeddings, attentionBias, mlpBias) = (true, true, true)
    case .bert:
      (activation, positions, normEpsilon) = (.gelu, .learned, 1e-12)
      (tiesEmbeddings, attentionBias, mlpBias) = (true, true, true)
      tokenTypes = 2
    }
  }

  /// Checks that such a model can be built.
  ///
  /// - Throws: ``ModelError/impossible(key:value:reason:)``.
  package func validate() throws(ModelError) {
    func require(
      _ holds: Bool, _ key: String, _ value: any CustomStringConvertible, _ reason: String
    ) throws(ModelError) {
      if !holds { throw .impossible(key: "model." + key, value: value.description, reason: reason) }
    }
    let sizes: [(String, Int, Int)] = [
      ("vocab_size", vocabularySize, 1 << 24), ("hidden_size", hiddenSize, 1 << 17),
      ("num_hidden_layers", layers, 1 << 12), ("num_attention_heads", heads, 1 << 12),
      ("num_key_value_heads", keyValueHeads, 1 << 12), ("head_dim", headSize, 256),
      ("intermediate_size", intermediateSize, 1 << 20), ("max_position_embeddings", maxPositions, 1 << 24),
    ]
    for (key, value, limit) in sizes {
      if key == "head_dim", value == 0 {
        try require(
          hiddenSize.isMultiple(of: heads), "num_attention_heads", heads, "must divide hidden_size = \(hiddenSize)")
      }
      try require((1...limit).contains(value), key, value, "must be in 1...\(limit)")
    }
    try require(
      heads.isMultiple(of: keyValueHeads), "num_key_value_heads", keyValueHeads,
      "must divide num_attention_heads = \(heads)")
    if positions == .rotary {
      try require(headSize.isMultiple(of: 2), "head_dim", headSize, "must be even for rotary positions")
      try require(rotaryBase > 1 && rotaryBase.isFinite, "rope_theta", rotaryBase, "must be above 1")
    }
    try require(dropout >= 0 && dropout < 1, "dropout", dropout, "must be at least 0 and below 1")
    try require(normEpsilon > 0 && normEpsilon.isFinite, "norm_eps", normEpsilon, "must be above 0")
    try require(
      initializerRange > 0 && initializerRange.isFinite, "initializer_range", initializerRange, "must be above 0")
    if let softcap {
      try require(softcap > 0 && softcap.isFinite, "final_logit_softcapping", softcap, "must be above 0")
    }
    try requireArchitecture(require)
  }

  /// What an architecture leaves no choice about.
  private func requireArchitecture(
    _ require: (Bool, String, any CustomStringConvertible, String) throws(ModelError) -> Void
  ) throws(ModelError) {
    let positionKinds: [PositionKind] =
      switch architecture {
      case .gpt2, .encoder: [.learned, .sinusoidal]
      case .bert: [.learned]
      case .llama, .qwen3, .nanochat, .mayfly: [.rotary]
      }
    try require(
      positionKinds.contains(positions), "position_embedding_type", positions.rawValue,
      "\(architecture) has \(positionKinds.map(\.rawValue).joined(separator: " or "))")
    if architecture == .gpt2 || isBidirectional {
      try require(
        keyValueHeads == heads, "num_key_value_heads", keyValueHeads, "\(architecture) has as many as attention heads")
      try require(
        headSize * heads == hiddenSize, "head_dim", headSize, "\(architecture) has hidden_size / num_attention_heads")
    }
    if isBidirectional {
      try require(attentionBias, "attention_bias", attentionBias, "\(architecture) has biases")
      try require(mlpBias, "mlp_bias", mlpBias, "\(architecture) has biases")
      try require(softcap == nil, "final_logit_softcapping", softcap ?? 0, "\(architecture) has none")
    }
    if let maskTokenID {
      try require(
        (0..<vocabularySize).contains(maskTokenID), "mask_token_id", maskTokenID, "must be below vocab_size")
    }
    let types = architecture == .bert ? 1...1024 : 0...0
    try require(types.contains(tokenTypes), "type_vocab_size", tokenTypes, "\(architecture) has \(types)")
  }
}
