/// Accuracy and macro-F1 of labels, 0 to 1 each, as scikit-learn's `accuracy_score` and `f1_score(average="macro")`.
///
/// Macro-F1 is the mean, over all labels that are given or predicted, of 2 TP ÷ (2 TP + FP + FN). Of several right
/// labels the predicted one counts, or else the first.
enum Classification {
  static func measure(_ predictions: [Prediction]) -> Measure {
    var numbers: [[UInt8]: Int] = [:]
    func number(_ label: String) -> Int {
      let key = Array(label.utf8)
      let number = numbers[key] ?? numbers.count
      numbers[key] = number
      return number
    }
    var pairs: [(predicted: Int, right: Int)] = []
    for example in predictions {
      let predicted = number(example.text)
      let right = example.references.map(number)
      pairs.append((predicted, right.contains(predicted) ? predicted : right.first ?? predicted))
    }
    let (labels, all) = (numbers.count, pairs)
    return Measure(keys: ["accuracy", "macro_f1"], count: pairs.count) { examples in
      values(examples.map { all[$0] }, labels: labels)
    }
  }

  private static func values(_ pairs: [(predicted: Int, right: Int)], labels: Int) -> [Double] {
    var hits = [Int](repeating: 0, count: labels)
    // Of each label: how often it was predicted plus how often it was right.
    var uses = [Int](repeating: 0, count: labels)
    for pair in pairs {
      uses[pair.predicted] += 1
      uses[pair.right] += 1
      if pair.predicted == pair.right { hits[pair.right] += 1 }
    }
    let scores = zip(hits, uses).filter { $1 > 0 }.map { 2 * Double($0) / Double($1) }
    let accuracy = Double(hits.reduce(0, +)) / Double(max(1, pairs.count))
    return [accuracy, scores.reduce(0, +) / Double(max(1, scores.count))]
  }
}
