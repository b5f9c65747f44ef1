import Formats

/// Holds a share of examples out for validation, by the hash of each: an example stays on its side whatever else
/// comes or goes, and one that is there twice is on one side only.
package enum TaskSplit {
  /// Both parts in order. With too few examples to hold any out, all are for training.
  package static func split(
    _ prompts: [TaskPrompt], valFraction: Double
  ) -> (train: [TaskPrompt], val: [TaskPrompt]) {
    var (train, val): ([TaskPrompt], [TaskPrompt]) = ([], [])
    for prompt in prompts {
      let hash = ContentHash(Array((prompt.prompt + "\u{0}" + prompt.answer).utf8))
      if hash.fraction < valFraction { val.append(prompt) } else { train.append(prompt) }
    }
    return train.isEmpty ? (val, []) : (train, val)
  }
}
