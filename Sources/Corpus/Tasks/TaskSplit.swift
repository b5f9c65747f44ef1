import Formats
import Tokenization

/// Holds a share of examples out for validation, by the hash of each: an example stays on its side whatever else
/// comes or goes, and one that is there twice is on one side only.
package enum TaskSplit {
  /// Both parts in order. With too few examples to hold any out, all are for training.
  package static func split(
    _ entries: [TaskFile.Entry], valFraction: Double
  ) -> (train: [TaskFile.Entry], val: [TaskFile.Entry]) {
    var (train, val): ([TaskFile.Entry], [TaskFile.Entry]) = ([], [])
    for entry in entries {
      let hash = ContentHash(Array(text(of: entry.example).utf8))
      if hash.fraction < valFraction { val.append(entry) } else { train.append(entry) }
    }
    return train.isEmpty ? (val, []) : (train, val)
  }

  /// What tells an example from others.
  private static func text(of example: TaskExample) -> String {
    if let prompt = TaskPrompt(example) { return prompt.prompt + "\u{0}" + prompt.answer }
    switch example {
    case .chat(let messages): return messages.map { $0.role + "\u{0}" + $0.content }.joined(separator: "\u{0}")
    case .classification(let text, let label): return text + "\u{0}" + label
    default: return "\(example)"
    }
  }
}
