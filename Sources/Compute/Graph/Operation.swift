/// One step of a program: what it reads, what it writes, how.
///
/// One `enum`, so that the compiler lists every place where a new operation must be handled: the gradient rules, the
/// cost, the reference and each executor. The builders in `Operations/` check shapes and append these.
package enum Operation: Sendable {
  case embedding(Embedding)
  case embeddingGradient(EmbeddingGradient)
  case norm(Norm)
  case normGradient(NormGradient)
  case headNorm(HeadNorm)
  case headNormGradient(HeadNormGradient)
  case linear(Linear)
  case linearInputGradient(LinearInputGradient)
  case linearWeightGradient(LinearWeightGradient)
  case rotary(Rotary)
  case attention(Attention)
  case attentionGradient(AttentionGradient)
  case cachedAttention(CachedAttention)
  case activation(Activation)
  case activationGradient(ActivationGradient)
  case dropout(Dropout)
  case add(Add)
  case causalConvolution(CausalConvolution)
  case causalConvolutionGradient(CausalConvolutionGradient)
  case meanPool(MeanPool)
  case meanPoolGradient(MeanPoolGradient)
  case logits(Logits)
  case headLoss(HeadLoss)

  /// The operation's operands, whatever it is.
  package var operands: any Operands {
    switch self {
    case .embedding(let op): op
    case .embeddingGradient(let op): op
    case .norm(let op): op
    case .normGradient(let op): op
    case .headNorm(let op): op
    case .headNormGradient(let op): op
    case .linear(let op): op
    case .linearInputGradient(let op): op
    case .linearWeightGradient(let op): op
    case .rotary(let op): op
    case .attention(let op): op
    case .attentionGradient(let op): op
    case .cachedAttention(let op): op
    case .activation(let op): op
    case .activationGradient(let op): op
    case .dropout(let op): op
    case .add(let op): op
    case .causalConvolution(let op): op
    case .causalConvolutionGradient(let op): op
    case .meanPool(let op): op
    case .meanPoolGradient(let op): op
    case .logits(let op): op
    case .headLoss(let op): op
    }
  }
}

extension Operation {
  /// The name of what it is, as profiles show it: "LinearInputGradient".
  package var kind: String { "\(type(of: operands))" }
}

/// What an operation reads and writes, for the memory plan.
package protocol Operands: Sendable {
  var reads: [Node?] { get }
  var writes: [Node?] { get }
  /// Outputs, each with the inputs whose memory it may take over when they are needed no more: executors read each element
  /// of such an input no later than they write the same element of the output. No input stands behind two outputs.
  var inPlace: [Node: [Node?]] { get }
}

extension Operands {
  package var inPlace: [Node: [Node?]] { [:] }
}

/// Where an operation leaves the gradient of a parameter.
///
/// The first writer of a gradient in a program overwrites it in the first micro-step of an update and adds in the
/// later ones (gradient accumulation); the second writer, of a tied weight, always adds.
package struct GradientSlot: Sendable {
  package let node: Node
  package let addsAlways: Bool

  package func adds(in context: RunContext) -> Bool { addsAlways || context.accumulates }
}
