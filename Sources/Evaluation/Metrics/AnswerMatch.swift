/// Exact match and F1 of answers, 0 to 1 each, as SQuAD 2.0's evaluation script computes them (which prints percent).
///
/// Case, ASCII punctuation, articles and white space don't count. F1 is that of the words both answers share; an answer
/// without words equals only another such one. The best of several references counts; references without words are
/// passed over unless there is no other, which means that the question has no answer.
///
/// Rajpurkar, Jia & Liang, "Know What You Don't Know: Unanswerable Questions for SQuAD", arXiv:1806.03822.
enum AnswerMatch {
  static func exactMatch(_ predictions: [Prediction]) -> Measure {
    Measure(means: ["exact_match"], rows: predictions.map { [best($0) { $0 == $1 ? 1 : 0 }] })
  }

  static func f1(_ predictions: [Prediction]) -> Measure {
    Measure(means: ["f1"], rows: predictions.map { [best($0, f1)] })
  }

  private typealias Words = [ArraySlice<Unicode.Scalar>]

  private static func best(_ example: Prediction, _ score: (Words, Words) -> Double) -> Double {
    let predicted = words(example.text)
    let answers = example.references.map(words).filter { !$0.isEmpty }
    return (answers.isEmpty ? [[]] : answers).map { score(predicted, $0) }.max() ?? 0
  }

  /// The words that count.
  private static func words(_ text: String) -> Words {
    let scalars = PythonText.lower(text).filter { !isPunctuation($0) }
    var kept: [Unicode.Scalar] = []
    var index = 0
    while index < scalars.count {
      let end = scalars[index...].firstIndex { !PythonText.isWord($0) } ?? scalars.count
      if end == index {
        kept.append(scalars[index])
        index += 1
      } else {
        // A word that is an article leaves a space; what follows it may be a mark, which is no part of a word.
        kept += articles.contains(Array(scalars[index..<end])) ? [" "] : scalars[index..<end]
        index = end
      }
    }
    return PythonText.split(kept)
  }

  private static let articles: Set<[Unicode.Scalar]> = [["a"], ["a", "n"], ["t", "h", "e"]]

  private static func isPunctuation(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar {
    case "!"..."/", ":"..."@", "["..."`", "{"..."~": true
    default: false
    }
  }

  private static func f1(_ predicted: Words, _ answer: Words) -> Double {
    guard !predicted.isEmpty, !answer.isEmpty else { return predicted.isEmpty && answer.isEmpty ? 1 : 0 }
    var left: [ArraySlice<Unicode.Scalar>: Int] = [:]
    for word in answer { left[word, default: 0] += 1 }
    var shared = 0
    for word in predicted {
      guard let count = left[word], count > 0 else { continue }
      left[word] = count - 1
      shared += 1
    }
    guard shared > 0 else { return 0 }
    let (precision, recall) = (Double(shared) / Double(predicted.count), Double(shared) / Double(answer.count))
    return 2 * precision * recall / (precision + recall)
  }
}
