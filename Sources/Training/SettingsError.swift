import Formats
package import Models

/// What can be wrong with a setting; always names the key, what was found and what would be right.
package enum SettingsError: ContractError, Equatable {
  case unknownKey(String, nearest: String)
  case wrongType(key: String, value: String, expected: String)
  case impossible(key: String, value: String, expected: String)
  case unknownPreset(String, known: String)
  case notYAML(file: String, problem: String)
  /// `--set` without `=`.
  case notAnAssignment(String)

  package var exitCode: Int32 { ContractExit.data }

  package var description: String {
    switch self {
    case .unknownKey(let key, let nearest): "unknown setting '\(key)'; the nearest is '\(nearest)'"
    case .wrongType(let key, let value, let expected): "setting \(key) = \(value): expected \(expected)"
    case .impossible(let key, let value, let expected): "setting \(key) = \(value) is impossible: expected \(expected)"
    case .unknownPreset(let name, let known): "unknown preset '\(name)'; there are \(known)"
    case .notYAML(let file, let problem): "\(file): not a settings file: \(problem)"
    case .notAnAssignment(let text): "--set \(text): expected key=value"
    }
  }
}

extension Preset {
  /// - Throws: ``SettingsError/unknownPreset(_:known:)``.
  package static func known(_ name: String) throws(SettingsError) -> Preset {
    guard let preset = named(name) else {
      throw .unknownPreset(name, known: all.map(\.name).joined(separator: ", "))
    }
    return preset
  }
}
