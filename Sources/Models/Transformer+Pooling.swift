package import Compute

/// Vectors of whole sequences, up to S of them in each of B rows of T tokens.
package struct PoolProgram: Sendable {
  package let program: Program
  /// (B, T) of int32.
  package let ids, positions: Node
  /// (B, T, 2) of int32: the tokens that each token sees, those of its own sequence.
  package let ranges: Node
  /// (B, S, 2) of int32: the tokens whose states make a sequence's vector.
  package let pools: Node
  /// (B, S, C), or (B, S, labels) of a classifier's logits; a result.
  package let vectors: Node
}

extension Transformer {
  /// The mean of each sequence's last hidden states.
  package func vectorProgram(batch: Int, time: Int, perRow: Int) throws(ComputeError) -> PoolProgram {
    try poolProgram(batch: batch, time: time, perRow: perRow) { (_, x) throws(ComputeError) in x }
  }

  /// A classifier's logits of each sequence.
  package func labelProgram(batch: Int, time: Int, perRow: Int) throws(ComputeError) -> PoolProgram {
    try poolProgram(batch: batch, time: time, perRow: perRow) { (graph, x) throws(ComputeError) in
      try graph.logits(x, weight: graph.parameter(Self.scoreName))  // (B, S, labels)
    }
  }

  /// Loss and accuracy of a classifier; targets, weights and results are (B, S).
  package func labelLossProgram(
    batch: Int, time: Int, perRow: Int, training: Bool, keepsActivations: Bool = false,
    terms: HeadLoss.Terms = HeadLoss.Terms(), precision: Precision = .fp32
  ) throws(ComputeError) -> LossProgram {
    var graph = Graph(parameters: parameterLayout, precision: precision)
    let dropout = training ? config.dropout : 0
    let (ids, positions, ranges, pools, x) = try pooled(
      &graph, batch: batch, time: time, perRow: perRow, dropout: dropout)
    let targets = graph.input("targets", [batch, perRow], .int32)
    let weights = graph.input("weights", [batch, perRow], .float32)
    let normalizer = graph.input("normalizer", [], .float32)
    let result = try graph.headLoss(
      graph.dropout(x, rate: dropout), weight: graph.parameter(Self.scoreName), terms: terms, targets: targets,
      weights: weights, normalizer: normalizer)
    if training { try graph.differentiate(keepsActivations: keepsActivations) }
    return LossProgram(
      program: Program(graph), ids: ids, positions: positions, targets: targets, ranges: ranges, pools: pools,
      weights: weights, normalizer: normalizer, losses: result.losses, correct: result.correct)
  }

  /// The classifier's parameter (labels, C).
  static let scoreName = "score"

  private func poolProgram(
    batch: Int, time: Int, perRow: Int, head: (inout Graph, Node) throws(ComputeError) -> Node
  ) throws(ComputeError) -> PoolProgram {
    var graph = Graph(parameters: parameterLayout)
    let (ids, positions, ranges, pools, x) = try pooled(&graph, batch: batch, time: time, perRow: perRow, dropout: 0)
    let vectors = try head(&graph, x)
    graph.keep(vectors)
    return PoolProgram(
      program: Program(graph), ids: ids, positions: positions, ranges: ranges, pools: pools, vectors: vectors)
  }

  /// - Returns: the inputs, and x (B, S, C).
  private func pooled(
    _ graph: inout Graph, batch: Int, time: Int, perRow: Int, dropout: Float
  ) throws(ComputeError) -> (ids: Node, positions: Node, ranges: Node, pools: Node, x: Node) {
    let ids = graph.input("ids", [batch, time], .int32)
    let positions = graph.input("positions", [batch, time], .int32)
    let ranges = graph.input("ranges", [batch, time, 2], .int32)
    let pools = graph.input("pools", [batch, perRow, 2], .int32)
    let states = try hiddenStates(&graph, ids: ids, positions: positions, dropout: dropout) {
      (graph, qkv, _) throws(ComputeError) in
      try attention(&graph, qkv, mask: .ranges(ranges), dropout: dropout)
    }  // (B, T, C)
    return (ids, positions, ranges, pools, try graph.meanPool(states, ranges: pools))
  }
}
