import Formats
import Models
import Yams

extension Settings {
  /// `run.yaml`: every setting.
  package var yaml: String {
    var text = "# Every setting of this run, resolved. `mayfly train --config` takes this file.\n"
    var section = ""
    for key in SettingKey.all {
      let parts = key.name.split(separator: ".", maxSplits: 1)
      if section != parts[0] {
        section = String(parts[0])
        text += section + ":\n"
      }
      text += "  \(parts[1]): \(key.read(self))\n"
    }
    return text
  }
}

/// Settings that somebody gave, in the order in which they apply: a config file, then `--set`.
package struct SettingOverrides: Sendable {
  package typealias Assignment = (key: String, value: String)

  package private(set) var assignments: [Assignment] = []

  package init() {}

  /// Adds `key=value`.
  package mutating func add(assignment text: String) throws(SettingsError) {
    guard let equals = text.firstIndex(of: "="), equals != text.startIndex else { throw .notAnAssignment(text) }
    let key = String(text[..<equals])
    _ = try SettingKey.named(key)
    assignments.append((key, String(text[text.index(after: equals)...])))
  }

  package mutating func add(_ key: String, _ value: String) throws(SettingsError) {
    _ = try SettingKey.named(key)
    assignments.append((key, value))
  }

  /// Adds the settings of a YAML file's text.
  package mutating func add(yaml text: String, file: String) throws(SettingsError) {
    let root: Node?
    do {
      root = try Yams.compose(yaml: text)
    } catch {
      throw .notYAML(file: file, problem: "\(error)".split(separator: "\n").first.map(String.init) ?? "")
    }
    guard let root else { return }
    guard let sections = root.mapping else {
      throw .notYAML(file: file, problem: "expected sections 'model', 'data', 'train'")
    }
    for (section, content) in sections {
      let name = section.scalar?.string ?? "?"
      if let members = content.mapping {
        for (key, value) in members { try add(name + "." + (key.scalar?.string ?? "?"), value) }
      } else if name.contains(".") {
        try add(name, content)
      } else if content.scalar?.string != "" {
        throw .notYAML(file: file, problem: "'\(name)' holds no settings")
      }
    }
  }

  private mutating func add(_ key: String, _ value: Node) throws(SettingsError) {
    if let scalar = value.scalar {
      try add(key, scalar.string)
    } else if let list = value.sequence {
      try add(key, "[" + list.map { $0.scalar?.string ?? "?" }.joined(separator: ", ") + "]")
    } else {
      throw .wrongType(key: key, value: "a mapping", expected: "a value")
    }
  }

  /// The last value given for a key.
  package subscript(key: String) -> String? { assignments.last { $0.key == key }?.value }

  /// The same, with settings where these have none.
  package func adding(_ additions: [Assignment]) throws(SettingsError) -> SettingOverrides {
    var all = self
    for (key, value) in additions where self[key] == nil { try all.add(key, value) }
    return all
  }

  /// Applies what concerns training and data.
  package func apply(to settings: inout Settings) throws(SettingsError) {
    for (key, value) in assignments { try SettingKey.named(key).write(&settings, value) }
  }
}
