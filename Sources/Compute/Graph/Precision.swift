/// What activations, their gradients and the weights that matrix products read are stored as.
///
/// A policy of the program, not of the model: weights, their gradients, optimizer state, statistics and losses are fp32
/// whatever it is, and so are all sums. Micikevicius et al., "Mixed Precision Training", arXiv:1710.03740.
package enum Precision: String, Sendable, CaseIterable {
  case fp32
  /// The range of fp32 with 8 bits of precision. Kalamkar et al., arXiv:1905.12322.
  case bf16
  /// 11 bits of precision, but nothing beyond 65,504: gradients need a loss scale.
  case fp16

  package var dtype: DType {
    switch self {
    case .fp32: .float32
    case .bf16: .bfloat16
    case .fp16: .float16
    }
  }
}
