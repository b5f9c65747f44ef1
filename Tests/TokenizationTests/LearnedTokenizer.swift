import Formats
import Tokenization

/// A small text in several scripts, from which the tests' vocabularies are learned.
let sampleText = String(
  repeating: """
    The weather in the north and the rain of the other days: there they gather, 1234 of them, and don't they know it!
    ----------- ======= and then the theatre. 中文字中文 的文字，是中文。 aab aab abab aaaa
    \tfor (int i = 0; i < 10; i++) { the(); }\r\n

    """, count: 3)

func learned(_ pattern: SplitPattern, size: Int = 500) throws -> Tokenizer {
  var counts = WordCounts(pattern: pattern)
  counts.add(sampleText)
  return try BPELearner(vocabularySize: size).learn(from: counts)
}

/// Changes one member of an object.
func edit(_ json: inout JSON, _ key: String, _ change: (inout JSON) throws -> Void) throws {
  var object = json.object ?? JSONObject()
  var value = object[key] ?? .null
  try change(&value)
  object[key] = value
  json = .object(object)
}

func addedToken(_ id: Int, _ content: String, _ flags: JSON = [:]) -> JSON {
  var token: JSONObject = JSONObject()
  token["id"] = JSON(id)
  token["content"] = .string(content)
  token["special"] = true
  token["normalized"] = false
  for (key, value) in flags.object ?? JSONObject() { token[key] = value }
  return .object(token)
}

/// The rank of each pair of byte strings, from the merges of the tokenizer.json.
func mergeRanks(_ tokenizer: Tokenizer) -> [[[UInt8]]: Int] {
  // Learned ids follow the merges: token 257 + r is what merge r gives. Its parts are found by their text.
  var bytesByText: [String: [UInt8]] = [:]
  for (text, id) in tokenizer.json()["model"]?["vocab"]?.object ?? JSONObject() {
    bytesByText[text] = tokenizer.token(Int32(id.int ?? -1))
  }
  var ranks: [[[UInt8]]: Int] = [:]
  for (rank, merge) in (tokenizer.json()["model"]?["merges"]?.array ?? []).enumerated() {
    ranks[(merge.string ?? "").split(separator: " ").map { bytesByText[String($0)] ?? [] }] = rank
  }
  return ranks
}

/// Byte-pair encoding by its definition, without any haste.
func mergeSlowly(_ word: [UInt8], _ ranks: [[[UInt8]]: Int]) -> [[UInt8]] {
  var tokens = word.map { [$0] }
  while true {
    var best: (rank: Int, place: Int)?
    for place in tokens.indices.dropLast() {
      if let rank = ranks[[tokens[place], tokens[place + 1]]], rank < best?.rank ?? .max { best = (rank, place) }
    }
    guard let best else { return tokens }
    tokens[best.place] += tokens.remove(at: best.place + 1)
  }
}
