import Formats

/// What can be wrong with a model that was asked for, or with its files.
package enum ModelError: ContractError, Equatable {
  /// A setting that can't be: which, what it was, and what would be possible.
  case impossible(key: String, value: String, reason: String)
  /// A setting that no model has.
  case unknownSetting(key: String, nearest: String?)
  /// A setting of the wrong type.
  case wrongType(key: String, found: String, expected: String)
  /// A file's setting is missing.
  case missing(key: String, file: String)
  /// A file asks for something that Mayfly doesn't compute (yet).
  case unsupported(what: String, supported: String)
  /// The weights don't hold a tensor, or hold another shape.
  case tensor(name: String, expected: String, found: String, file: String)

  package var exitCode: Int32 { ContractExit.data }

  package var description: String {
    switch self {
    case .impossible(let key, let value, let reason): "\(key) = \(value): \(reason)"
    case .unknownSetting(let key, let nearest):
      "unknown setting '\(key)'" + (nearest.map { "; did you mean '\($0)'?" } ?? "")
    case .wrongType(let key, let found, let expected): "\(key): found \(found), expected \(expected)"
    case .missing(let key, let file): "\(file): '\(key)' is missing"
    case .unsupported(let what, let supported): "\(what) is not supported; supported: \(supported)"
    case .tensor(let name, let expected, let found, let file):
      "\(file): tensor '\(name)': expected \(expected), found \(found)"
    }
  }
}
