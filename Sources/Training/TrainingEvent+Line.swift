import Evaluation
package import Formats

extension TrainingEvent {
  /// The line of `metrics.jsonl`; nil where the run's folder says the same otherwise.
  package var line: JSON? {
    func event(_ name: String, _ step: Int, _ elapsed: Double, _ more: [(String, JSON)] = []) -> JSON {
      var object = JSONObject()
      for (key, value) in [("kind", "event"), ("step", JSON(step)), ("name", .string(name))] + more {
        object[key] = value
      }
      object["elapsed_seconds"] = .number(elapsed)
      return .object(object)
    }
    switch self {
    case .started(let run):
      return event(
        "started", run.firstStep, run.elapsed,
        [
          ("device", .string(run.device)), ("parameters", JSON(run.parameters)),
          ("flops_per_token", .number(run.flopsPerToken)),
        ])
    case .step(let metrics): return metrics.json
    case .skipped(let step, let problem, let lossScale, let elapsed):
      return event(
        "skipped_update", step, elapsed,
        [("reason", .string(problem.rawValue)), ("loss_scale", .number(Double(lossScale)))])
    case .rolledBack(let from, let to, let reason, let rollbacks, let elapsed):
      return event(
        "rolled_back", to, elapsed,
        [("from_step", JSON(from)), ("reason", .string(reason)), ("rollbacks", JSON(rollbacks))])
    case .evaluated(let step, let split, let result, let elapsed):
      return [
        "kind": "eval", "step": JSON(step), "split": .string(split), "loss": .number(result.loss),
        "accuracy": .number(result.accuracy), "bits_per_byte": result.bitsPerByte.map { .number($0) } ?? .null,
        "tokens": JSON(result.tokens), "elapsed_seconds": .number(elapsed),
      ]
    case .layers(let step, let layers, let elapsed):
      var sizes = JSONObject()
      for layer in layers { sizes[layer.name] = .number(layer.rms) }
      return [
        "kind": "layers", "step": JSON(step), "weight_rms": .object(sizes), "elapsed_seconds": .number(elapsed),
      ]
    case .energy(let step, let joules, let elapsed):
      return [
        "kind": "energy", "step": JSON(step), "joules": .number(joules), "elapsed_seconds": .number(elapsed),
      ]
    case .finished(let step, let memory, let elapsed):
      return event("finished", step, elapsed, [("peak_memory_bytes", JSON(memory))])
    case .sampled, .saved, .outputFailed: return nil
    }
  }
}

extension StepMetrics {
  fileprivate var json: JSON {
    [
      "kind": "train", "step": JSON(step), "tokens": JSON(tokens), "loss": .number(loss),
      "accuracy": .number(accuracy), "learning_rate": .number(Double(learningRate)),
      "grad_norm": .number(gradientNorm), "tokens_per_second": .number(tokensPerSecond),
      "data_wait_seconds": .number(dataWaitSeconds), "elapsed_seconds": .number(elapsed),
    ]
  }
}
