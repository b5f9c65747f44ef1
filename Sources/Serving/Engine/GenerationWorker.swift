import Compute
import Generation
import Models

/// Continues prompts. The sequence of one job after the other goes through the same session.
final class GenerationWorker {
  private let model: ModelInfo
  private let session: KeyValueSession
  private let generator: Generator

  /// - Throws: ``ComputeError``.
  init(_ model: ModelInfo, _ transformer: Transformer, weights: any ParameterStore, executor: any Executor) throws {
    self.model = model
    session = try KeyValueSession(transformer, weights: weights, executor: executor, longest: model.context)
    generator = Generator(session, tokenizer: model.tokenizer, endOfText: model.endOfText)
  }

  /// - Throws: ``ComputeError``, and why the job is to end.
  func perform(_ work: GenerationWork, _ job: Job) throws {
    for (index, prompt) in work.prompts.enumerated() {
      // One token may come behind a prompt that fills the context: nothing is read after it.
      let room = model.context - prompt.count + 1
      let maxTokens = min(work.maxTokens ?? room, room)
      var (scores, logits): ([TokenScore], [Float]) = ([], [])
      if work.scoresPrompt {
        (scores, logits) = try score(prompt, top: work.top ?? 0, job)
      } else if maxTokens > 0 {
        logits = try read(prompt, job)
      }
      try job.give(.prompt(index: index, scores))
      for choice in index * work.choices..<(index + 1) * work.choices {
        var reason = GenerationResult.FinishReason.length
        if maxTokens > 0 {
          session.rewind(to: prompt.count)
          reason = try answer(prompt, logits, maxTokens, work, choice: choice, job)
        }
        try job.give(.finished(choice: choice, reason))
      }
    }
  }

  /// Reads a prompt from the beginning, and gives the logits behind it.
  private func read(_ prompt: [Int32], _ job: Job) throws -> [Float] {
    session.rewind(to: 0)
    let last = (prompt.count - 1) / KeyValueSession.chunk * KeyValueSession.chunk
    for start in stride(from: 0, to: last, by: KeyValueSession.chunk) {
      try job.checkCancelled()
      try session.read(Array(prompt[start..<start + KeyValueSession.chunk]))
    }
    try job.checkCancelled()
    return try session.append(Array(prompt[last...]))
  }

  /// Reads a prompt from the beginning, with the scores of its tokens, and gives the logits behind it.
  private func score(_ prompt: [Int32], top: Int, _ job: Job) throws -> (scores: [TokenScore], logits: [Float]) {
    session.rewind(to: 0)
    var offsets = OffsetCounter(model.tokenizer, skipSpecialTokens: false)
    var scores = prompt.prefix(1).map { TokenScore(id: $0, offset: offsets.next($0), isPrompt: true) }
    var logits: [Float] = []
    for start in stride(from: 0, to: prompt.count, by: KeyValueSession.chunk) {
      try job.checkCancelled()
      try session.score(Array(prompt[start..<min(prompt.count, start + KeyValueSession.chunk)])) { row in
        guard scores.count < prompt.count else { return logits = Array(row) }
        let id = prompt[scores.count]
        let probabilities = LogProbabilities(row)
        scores.append(
          TokenScore(
            id: id, logProbability: probabilities[id], alternatives: probabilities.top(top), offset: offsets.next(id),
            isPrompt: true))
      }
    }
    return (scores, logits)
  }

  private func answer(
    _ prompt: [Int32], _ logits: [Float], _ maxTokens: Int, _ work: GenerationWork, choice: Int, _ job: Job
  ) throws -> GenerationResult.FinishReason {
    var options = work.sampling
    options.seed &+= UInt64(choice)
    var lane = TokenLane(model.tokenizer, behind: prompt)
    let result = try generator.generate(
      after: logits, prompt: prompt, maxTokens: maxTokens, options: options, stops: work.stops
    ) { step in
      if let top = work.top, let id = step.id {
        let probabilities = LogProbabilities(step.logits[...])
        lane.add(id, probabilities, top: top, isEnd: id == model.endOfText)
      }
      let tokens = lane.release(with: step.text)
      try job.give(.piece(choice: choice, Piece(text: step.text, tokenCount: step.id == nil ? 0 : 1, tokens: tokens)))
      return true
    }
    let rest = lane.finish(reason: result.finishReason)
    if !rest.isEmpty { try job.give(.piece(choice: choice, Piece(text: "", tokenCount: 0, tokens: rest))) }
    return result.finishReason
  }
}
