import Formats
import Tokenization

/// Reads an example from its named fields. A .csv file's fields are strings: numbers are read from them.
struct TaskFields {
  let object: JSONObject
  let kind: TaskKind

  struct Failure: Error {
    let problem: String
  }

  func example() throws(Failure) -> TaskExample {
    switch kind {
    case .classify:
      .classification(text: try string("text"), label: try label())
    case .qa:
      .questionAnswer(
        question: try string("question"), context: isGiven("context") ? try string("context") : "",
        answers: try strings("answer"))
    case .summarize:
      .summarization(document: try string("document"), summary: try string("summary"))
    case .chat:
      .chat(try messages())
    case .similarity:
      .similarity(a: try string("a"), b: try string("b"), score: try number("score"))
    case .prompt:
      .prompt(prompt: try string("prompt"), references: try strings("reference"))
    case .choice:
      try choice()
    case .predictions:
      .prediction(prediction: try string("prediction"), references: try strings("reference"))
    }
  }

  private func isGiven(_ key: String) -> Bool { !(object[key]?.isNull ?? true) }

  private func value(_ key: String) throws(Failure) -> JSON {
    guard let value = object[key] else {
      let found = object.keys.prefix(8).map { String($0.prefix(40)) }.joined(separator: ", ")
      throw Failure(
        problem: "has no field \"\(key)\": expected \(kind.fields), found \(found.isEmpty ? "no field" : found)")
    }
    return value
  }

  private func string(_ key: String) throws(Failure) -> String {
    let value = try value(key)
    guard let string = value.string else { throw wrong(key, "a string", value) }
    return string
  }

  /// A label may be a whole number, as many files have it; it is a name all the same.
  private func label() throws(Failure) -> String {
    let value = try value("label")
    if case .integer(let number) = value { return "\(number)" }
    guard let string = value.string else { throw wrong("label", "a string", value) }
    return string
  }

  private func strings(_ key: String) throws(Failure) -> [String] {
    let value = try value(key)
    if let string = value.string { return [string] }
    let strings = value.array?.compactMap(\.string) ?? []
    guard !strings.isEmpty, strings.count == value.array?.count else {
      throw wrong(key, "a string or a list of strings", value)
    }
    return strings
  }

  private func number(_ key: String) throws(Failure) -> Double {
    let value = try value(key)
    guard let number = value.double ?? value.string.flatMap(Double.init), number.isFinite else {
      throw wrong(key, "a number", value)
    }
    return number
  }

  private func choice() throws(Failure) -> TaskExample {
    let choices = try strings("choices")
    let number = try number("answer")
    guard let answer = Int(exactly: number), choices.indices.contains(answer) else {
      throw Failure(problem: "\"answer\": expected an index from 0 to \(choices.count - 1), found \(number)")
    }
    return .choice(prompt: try string("prompt"), choices: choices, answer: answer)
  }

  private func messages() throws(Failure) -> [ChatMessage] {
    let value = try value("messages")
    guard let array = value.array, !array.isEmpty else { throw wrong("messages", "a list of messages", value) }
    var messages: [ChatMessage] = []
    for (index, element) in array.enumerated() {
      guard let role = element["role"]?.string, let content = element["content"]?.string else {
        throw Failure(problem: "message \(index + 1): expected {\"role\": \"…\", \"content\": \"…\"}")
      }
      messages.append(ChatMessage(role: role, content: content))
    }
    return messages
  }

  private func wrong(_ key: String, _ expected: String, _ found: JSON) -> Failure {
    Failure(problem: "\"\(key)\": expected \(expected), found \(found.kind)")
  }
}
