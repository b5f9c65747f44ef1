import Formats

/// Holds a share of examples out for validation, by the hash of each: an example stays on its side whatever else
/// comes or goes, and one that is there twice is on one side only.
package enum TaskSplit {
  /// Both parts in order. With too few examples to hold any out, all are for training.
  ///
  /// - Parameter text: what an example is known by.
  package static func split<Example>(
    _ examples: [Example], valFraction: Double, by text: (Example) -> String
  ) -> (train: [Example], val: [Example]) {
    var (train, val): ([Example], [Example]) = ([], [])
    for example in examples {
      let hash = ContentHash(Array(text(example).utf8))
      if hash.fraction < valFraction { val.append(example) } else { train.append(example) }
    }
    return train.isEmpty ? (val, []) : (train, val)
  }

  package static func split(
    _ prompts: [TaskPrompt], valFraction: Double
  ) -> (train: [TaskPrompt], val: [TaskPrompt]) {
    split(prompts, valFraction: valFraction) { $0.prompt + "\u{0}" + $0.answer }
  }
}
