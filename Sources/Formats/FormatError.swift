/// What can be wrong with a file or folder that is read or written.
package enum FormatError: ContractError, Equatable {
  case missing(path: String)
  /// A folder (or a device) where a file is expected.
  case notAFile(path: String)
  case notAFolder(path: String)
  case unreadable(path: String, reason: String)
  /// The file ended before what its header or its size promised.
  case cutShort(path: String, expected: Int, found: Int)
  case unwritable(path: String, reason: String)
  /// Output that is there already.
  case exists(path: String)
  /// Another process is writing there.
  case inUse(path: String)
  case json(path: String, JSONError)
  /// The JSON is well-formed, but says something else than expected.
  case content(path: String, problem: String)
  case safetensors(path: String, SafetensorsProblem)
  case shard(path: String, TokenShardProblem)
  case manifest(folder: String, ManifestProblem)

  package var exitCode: Int32 {
    switch self {
    case .unwritable, .exists, .inUse: ContractExit.output
    default: ContractExit.data
    }
  }

  package var description: String {
    switch self {
    case .missing(let path):
      "\(path): no such file or folder"
    case .notAFile(let path):
      "\(path): expected a file, found a folder or a device"
    case .notAFolder(let path):
      "\(path): expected a folder, found a file"
    case .unreadable(let path, let reason):
      "\(path): can't be read: \(reason)"
    case .cutShort(let path, let expected, let found):
      "\(path): cut short: expected \(expected) bytes, found \(found); copy or make the file again"
    case .unwritable(let path, let reason):
      "\(path): can't be written: \(reason)"
    case .exists(let path):
      "\(path): is there already and isn't empty; choose another place or remove it first"
    case .inUse(let path):
      "\(path): another process is at work there; wait for its end, or choose another folder"
    case .json(let path, let error):
      "\(path): \(error)"
    case .content(let path, let problem):
      "\(path): \(problem)"
    case .safetensors(let path, let problem):
      "\(path): \(problem.text)"
    case .shard(let path, let problem):
      "\(path): \(problem.text)"
    case .manifest(let folder, let problem):
      "\(folder): \(problem.text)"
    }
  }
}
