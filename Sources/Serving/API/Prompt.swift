import Formats

/// A text to read: as text, or as the ids of its tokens.
package enum Prompt: Equatable, Sendable {
  case text(String)
  case ids([Int32])

  /// A field that is a string, ids, or a list of either.
  ///
  /// - Throws: ``APIError``, naming the element that is wrong.
  package static func read(_ key: String, of fields: Fields, limit: Int) throws(APIError) -> [Prompt] {
    guard let json = fields[key] else { throw .invalid(key, "is missing") }
    if let text = json.string { return [.text(text)] }
    guard let elements = json.array else {
      throw .invalid(key, "expected a string, token ids, or a list of either, found \(shown(json))")
    }
    guard let first = elements.first else { throw .invalid(key, "an empty list") }
    if case .array = first {} else if first.string == nil { return [.ids(try ids(elements, key))] }
    guard elements.count <= limit else {
      throw .invalid(key, "\(elements.count) elements; at most \(limit) in one request")
    }
    var prompts: [Prompt] = []
    for (index, element) in elements.enumerated() {
      let place = "\(key)[\(index)]"
      switch (first, element) {
      case (.string, .string(let text)): prompts.append(.text(text))
      case (.array, .array(let list)): prompts.append(.ids(try ids(list, place)))
      default: throw .invalid(key, "\(place) is \(element.kind), but \(key)[0] is \(first.kind)")
      }
    }
    return prompts
  }

  private static func ids(_ list: [JSON], _ place: String) throws(APIError) -> [Int32] {
    let key = String(place.prefix { $0 != "[" })
    guard !list.isEmpty else { throw .invalid(key, "\(place) has no tokens") }
    var ids: [Int32] = []
    ids.reserveCapacity(list.count)
    for (index, json) in list.enumerated() {
      guard let id = json.int.flatMap({ Int32(exactly: $0) }), id >= 0 else {
        throw .invalid(key, "\(place)[\(index)]: expected a token id, found \(shown(json))")
      }
      ids.append(id)
    }
    return ids
  }
}
