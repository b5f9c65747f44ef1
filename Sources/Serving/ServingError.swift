import Formats

/// What can go wrong before or while serving.
package enum ServingError: ContractError, Equatable {
  /// The address can't be listened on.
  case address(host: String, port: Int, reason: String)
  /// Requests were still being answered when the time to stop was over.
  case cutOff(seconds: Int)

  package var exitCode: Int32 { ContractExit.failed }

  package var description: String {
    switch self {
    case .address(let host, let port, let reason):
      "\(host):\(port): can't listen: \(reason); choose another --host or --port"
    case .cutOff(let seconds):
      "stopped with requests that had not come to their end in \(seconds) seconds"
    }
  }
}
