import Formats

/// What can go wrong before or while serving.
package enum ServingError: ContractError, Equatable {
  /// The address can't be listened on.
  case address(host: String, port: Int, reason: String)
  /// The page of a training can't be there.
  case dashboard(host: String, port: Int, reason: String)
  /// Requests were still being answered when the time to stop was over.
  case cutOff(seconds: Int)
  /// A unit file can't name the folder that is deployed.
  case unitPath(String)
  /// A service doesn't answer as it should.
  case unhealthy(host: String, port: Int, reason: String)

  package var exitCode: Int32 {
    switch self {
    case .unitPath: ContractExit.usage
    default: ContractExit.failed
    }
  }

  package var description: String {
    switch self {
    case .address(let host, let port, let reason):
      "\(host):\(port): can't listen: \(reason); choose another --host or --port"
    case .dashboard(let host, let port, let reason):
      "\(host):\(port): can't listen: \(reason); choose another port: --dashboard PORT"
    case .cutOff(let seconds):
      "stopped with requests that had not come to their end in \(seconds) seconds"
    case .unitPath(let path):
      "--out \(path.debugDescription): systemd's unit files can't name a path with quotation marks, backslashes, '$' or "
        + "control characters; choose another place"
    case .unhealthy(let host, let port, let reason):
      "\(host):\(port): the service doesn't answer: \(reason); see whether it runs, and on which --host and --port"
    }
  }
}
