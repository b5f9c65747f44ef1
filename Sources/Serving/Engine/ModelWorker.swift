import Compute
import Evaluation
import Models

/// Does jobs with one model; everything it needs is made once.
final class ModelWorker {
  /// Nil for a model that can't continue a text.
  private let generation: GenerationWorker?
  private let embedder: Embedder

  /// - Throws: ``ComputeError``.
  init(_ model: ModelInfo, _ transformer: Transformer, weights: any ParameterStore, executor: any Executor) throws {
    generation =
      model.generates ? try GenerationWorker(model, transformer, weights: weights, executor: executor) : nil
    embedder = Embedder(transformer, weights: weights, executor: executor)
  }

  /// - Throws: ``ComputeError``, and why the job is to end.
  func perform(_ job: Job) throws {
    switch job.work {
    case .generate(let work):
      guard let generation else { throw APIError.notGenerating }
      try generation.perform(work, job)
    case .embed(let texts): try job.give(.vectors(try embed(texts, job)))
    }
  }

  /// A few texts at a time, so that a job can end between them.
  private func embed(_ texts: [[Int32]], _ job: Job) throws -> [[Float]] {
    var vectors: [[Float]] = []
    for start in stride(from: 0, to: texts.count, by: Self.textsAtOnce) {
      try job.checkCancelled()
      vectors += try embedder.embed(Array(texts[start..<min(texts.count, start + Self.textsAtOnce)]))
    }
    return vectors
  }

  private static let textsAtOnce = 64
}
