/// One update of the weights: Muon for matrices where it is asked for, AdamW for the rest.
///
/// AdamW: Loshchilov & Hutter, "Decoupled Weight Decay Regularization", arXiv:1711.05101, algorithm 2.
package struct OptimizerUpdate: Sendable {
  /// Momentum, made orthogonal: u ← Nesterov's mean of gradients; w ← (1 − ηλ)w − η·√max(1, rows/columns)·U·Vᵀ of
  /// u = U·Σ·Vᵀ, found by ``orthogonalization``.
  ///
  /// Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024; the decay as Liu et al., "Muon is
  /// Scalable for LLM Training", arXiv:2502.16982, equation 3.
  package struct Muon: Sendable {
    package var learningRate: Float
    /// μ: m ← μm + (1 − μ)g, u = μm + (1 − μ)g.
    package var momentum: Float
    package var weightDecay: Float

    package init(learningRate: Float, momentum: Float, weightDecay: Float = 0) {
      self.learningRate = learningRate
      self.momentum = momentum
      self.weightDecay = weightDecay
    }

    /// The polynomials X ← aX + (bA + cA²)X, A = XXᵀ, one after the other: they bring singular values from 10⁻³ to 1 near
    /// to 1. Amsel et al., "The Polar Express", arXiv:2505.16932, algorithm 1: each is the best for what the one before
    /// leaves, here with singular values taken 2 % larger than they are, for the rounding of halves.
    package static let orthogonalization: [(a: Float, b: Float, c: Float)] = [
      (8.1252908, -22.239385, 15.673245), (4.0281494, -2.7793053, 0.49376378), (3.8803030, -2.7460589, 0.50038737),
      (3.2962624, -2.3816901, 0.46793942), (2.3585884, -1.7329118, 0.43212611),
    ]

    /// What the momentum is divided by beside its norm before the first polynomial, for the same reason.
    package static let normMargin: Float = 1.02
  }

  /// Counts updates from 1, for the bias corrections.
  package var step: Int
  /// Of all that has no other rate.
  package var learningRate: Float
  /// Of embeddings; nil: as the rest.
  package var embeddingRate: Float?
  package var beta1: Float
  package var beta2: Float
  package var epsilon: Float
  /// Of tensors with two or more dimensions; the others are not decayed.
  package var weightDecay: Float
  /// The largest norm of all gradients together: they are scaled down to it. 0: they are not.
  package var clip: Float
  /// What the gradients were multiplied by from the loss on (``RunContext/lossScale``): they are divided by it first.
  package var lossScale: Float
  /// Of random numbers, where moments are rounded by chance.
  package var seed: UInt64
  /// Nil: AdamW updates the matrices, too.
  package var muon: Muon?
  /// With a larger loss or norm of all gradients the update is skipped.
  package var mostLoss = Double.infinity
  package var mostGradientNorm = Double.infinity

  package init(
    step: Int, learningRate: Float, beta1: Float, beta2: Float, epsilon: Float, weightDecay: Float, clip: Float = 0,
    lossScale: Float = 1, seed: UInt64 = 0
  ) {
    self.step = step
    self.learningRate = learningRate
    self.beta1 = beta1
    self.beta2 = beta2
    self.epsilon = epsilon
    self.weightDecay = weightDecay
    self.clip = clip
    self.lossScale = lossScale
    self.seed = seed
  }

  /// AdamW's rate of tensors.
  package func learningRate(of segment: TensorLayout.Segment) -> Float {
    segment.isEmbedding ? embeddingRate ?? learningRate : learningRate
  }

  /// What gradients of this norm (their loss scale divided out) are multiplied by, as torch.nn.utils.clip_grad_norm_ has
  /// it.
  package func gradientScale(norm: Double) -> Float {
    let scale = clip > 0 ? min(1, Double(clip) / (norm + 1e-6)) : 1
    return Float(scale / Double(lossScale))
  }

  /// Whether an update may follow from this.
  package func allows(_ report: UpdateReport) -> Bool {
    report.isFinite && report.loss <= mostLoss && report.gradientNorm <= mostGradientNorm
  }
}

/// What an update found.
package struct UpdateReport: Sendable, Equatable {
  /// Means over the update's targets by their weights: Σ weight·loss / normalizer of all its micro-steps, in nats, and the
  /// same of hits.
  package var loss, accuracy: Double
  /// The L2 norm of all gradients before clipping, their loss scale divided out.
  package var gradientNorm: Double

  /// False: the update was skipped, all is as it was before.
  package var isApplied = true

  package var isFinite: Bool { loss.isFinite && gradientNorm.isFinite }

  package init(loss: Double = 0, accuracy: Double = 0, gradientNorm: Double = 0) {
    self.loss = loss
    self.accuracy = accuracy
    self.gradientNorm = gradientNorm
  }
}
