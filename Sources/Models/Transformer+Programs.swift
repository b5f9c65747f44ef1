package import Compute

/// Which keys the queries of a program see.
package enum MaskKind: Sendable {
  case causal
  case bidirectional
  /// As the input `ranges` says: padding, or documents packed into one row.
  case ranges
}

/// Predicting tokens at positions of B rows of T tokens: a step of training, or of evaluation.
package struct LossProgram: Sendable {
  package let program: Program
  /// (B, T) of int32.
  package let ids, positions, targets: Node
  /// (B, T, 2) of int32, see ``KeyRanges``; nil for the other masks.
  package let ranges: Node?
  /// (B, S, 2) of int32: the sequences that are classified; targets, weights and results are then (B, S). Else nil.
  package let pools: Node?
  /// (B, T) and ().
  package let weights, normalizer: Node
  /// (B, T), results.
  package let losses, correct: Node
}

/// Logits at every position of B rows of T tokens.
package struct LogitsProgram: Sendable {
  package let program: Program
  package let ids, positions: Node
  /// (B, T, 2) of int32, see ``KeyRanges``; nil for the other masks.
  package let ranges: Node?
  /// (B, T, V), a result.
  package let logits: Node
}

/// Which logits a pass over cached sequences gives.
package enum CachedLogits: Sendable { case none, last, all }

/// Appending T tokens of B sequences to their caches.
package struct CachedProgram: Sendable {
  package let program: Program
  package let ids, positions: Node
  /// (B, 1, 2) of int32: the range of the one token of each sequence whose logits are asked for; only for `.last`.
  package let last: Node?
  /// (B, T, V), or (B, 1, V) for `.last`; a result.
  package let logits: Node?
}

extension ModelConfig {
  /// What the architecture was made for.
  package var maskKind: MaskKind { isBidirectional ? .bidirectional : .causal }
}

extension Transformer {
  /// - Parameters:
  ///   - training: with the backward pass and dropout.
  ///   - keepsActivations: see ``Graph/differentiate(seeds:keepsActivations:)``.
  ///   - terms: what the loss has beside the cross-entropy.
  ///   - kind: nil: what the architecture was made for.
  package func lossProgram(
    batch: Int, time: Int, training: Bool, keepsActivations: Bool = false, terms: HeadLoss.Terms = HeadLoss.Terms(),
    mask kind: MaskKind? = nil, precision: Precision = .fp32
  ) throws(ComputeError) -> LossProgram {
    var graph = Graph(parameters: parameterLayout, precision: precision)
    let shape: Shape = [batch, time]
    let mask = mask(kind, &graph, batch: batch, time: time)
    let ids = graph.input("ids", shape, .int32)
    let positions = graph.input("positions", shape, .int32)
    let targets = graph.input("targets", shape, .int32)
    let weights = graph.input("weights", shape, .float32)
    let normalizer = graph.input("normalizer", [], .float32)
    let dropout = training ? config.dropout : 0
    let x = try hiddenStates(&graph, ids: ids, positions: positions, dropout: dropout) {
      (graph, qkv, _) throws(ComputeError) in try attention(&graph, qkv, mask: mask, dropout: dropout)
    }
    let result = try loss(&graph, x, terms: terms, targets: targets, weights: weights, normalizer: normalizer)
    if training { try graph.differentiate(keepsActivations: keepsActivations) }
    return LossProgram(
      program: Program(graph), ids: ids, positions: positions, targets: targets, ranges: mask.ranges, pools: nil,
      weights: weights, normalizer: normalizer, losses: result.losses, correct: result.correct)
  }

  private func mask(_ kind: MaskKind?, _ graph: inout Graph, batch: Int, time: Int) -> AttentionMask {
    switch kind ?? config.maskKind {
    case .causal: .causal
    case .bidirectional: .bidirectional
    case .ranges: .ranges(graph.input("ranges", [batch, time, 2], .int32))
    }
  }

  /// Logits of whole rows, without a cache.
  ///
  /// - Parameter kind: nil: what the architecture was made for.
  package func logitsProgram(
    batch: Int, time: Int, mask kind: MaskKind? = nil
  ) throws(ComputeError) -> LogitsProgram {
    var graph = Graph(parameters: parameterLayout)
    let mask = mask(kind, &graph, batch: batch, time: time)
    let ids = graph.input("ids", [batch, time], .int32)
    let positions = graph.input("positions", [batch, time], .int32)
    let x = try hiddenStates(&graph, ids: ids, positions: positions, dropout: 0) {
      (graph, qkv, _) throws(ComputeError) in try attention(&graph, qkv, mask: mask)
    }
    let logits = try logits(&graph, x)
    graph.keep(logits)
    return LogitsProgram(
      program: Program(graph), ids: ids, positions: positions, ranges: mask.ranges, logits: logits)
  }

  /// Reads `time` new tokens of each of `batch` sequences, whose past is in the caches of
  /// ``cacheLayout(batch:capacity:)``.
  package func cachedProgram(
    batch: Int, time: Int, capacity: Int, logits asked: CachedLogits
  ) throws(ComputeError) -> CachedProgram {
    guard !config.isBidirectional else {
      throw .setting(
        op: "cachedAttention", problem: "\(config.architecture) sees both sides of a token and can't continue a text")
    }
    var graph = Graph(parameters: parameterLayout, states: cacheLayout(batch: batch, capacity: capacity))
    let ids = graph.input("ids", [batch, time], .int32)
    let positions = graph.input("positions", [batch, time], .int32)
    let x = try hiddenStates(&graph, ids: ids, positions: positions, dropout: 0) {
      (graph, qkv, layer) throws(ComputeError) in
      try cachedAttention(&graph, qkv, positions: positions, layer: layer)
    }
    var (last, result): (Node?, Node?)
    switch asked {
    case .none: break
    case .last:
      let range = graph.input("last", [batch, 1, 2], .int32)
      last = range
      result = try logits(&graph, graph.meanPool(x, ranges: range))
    case .all: result = try logits(&graph, x)
    }
    if let result { graph.keep(result) }
    return CachedProgram(program: Program(graph), ids: ids, positions: positions, last: last, logits: result)
  }
}
