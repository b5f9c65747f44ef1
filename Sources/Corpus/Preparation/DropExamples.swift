import Formats

/// A few documents for each rule that left some out, chosen as if by chance, but the same each time: by the smallest hashes.
struct DropExamples: Sendable, Equatable {
  struct Example: Sendable, Equatable {
    let hash: UInt64
    let text: String
  }

  private(set) var examples: [DropRule: [Example]] = [:]

  private static let perRule = 3
  private static let excerptBytes = 300

  mutating func add(_ rule: DropRule, _ text: [UInt8]) {
    guard rule != .empty else { return }
    let head = Array(text.prefix(Self.excerptBytes + 4))
    let hash = ContentHash(head).words[0]
    if let last = examples[rule]?.last, examples[rule]?.count == Self.perRule, last.hash <= hash { return }
    insert(Example(hash: hash, text: text.excerpt(bytes: Self.excerptBytes)), rule)
  }

  mutating func add(_ other: DropExamples) {
    for (rule, examples) in other.examples { for example in examples { insert(example, rule) } }
  }

  private mutating func insert(_ example: Example, _ rule: DropRule) {
    var known = examples[rule] ?? []
    guard !known.contains(where: { $0.hash == example.hash }) else { return }
    known.insert(example, at: known.firstIndex { example.hash < $0.hash } ?? known.count)
    examples[rule] = Array(known.prefix(Self.perRule))
  }

  var json: JSON {
    var object = JSONObject()
    for rule in DropRule.allCases {
      guard let examples = examples[rule] else { continue }
      object[rule.rawValue] = JSON(examples.map { ["hash": JSON(String($0.hash, radix: 16)), "text": JSON($0.text)] })
    }
    return .object(object)
  }

  init() {}

  init?(_ json: JSON) {
    guard let object = json.object else { return nil }
    for (name, value) in object {
      guard let rule = DropRule(rawValue: name), let array = value.array else { return nil }
      for entry in array {
        guard let hash = entry["hash"]?.string.flatMap({ UInt64($0, radix: 16) }), let text = entry["text"]?.string
        else { return nil }
        insert(Example(hash: hash, text: text), rule)
      }
    }
  }
}
