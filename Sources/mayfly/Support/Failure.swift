import ArgumentParser
import Compute
import Formats
import Foundation
import Tokenization

/// Errors as the contract wants them: the text on stderr, a meaningful exit code.
enum Failure {
  /// Prints what went wrong and gives the exit code.
  static func report(_ error: any Error) -> Int32 {
    if let stop = error as? Stopped { return stop.exitCode }
    if error is ReaderLeft { return 0 }
    guard let (text, code) = describe(error) else {
      // Help, version and wrong usage are ArgumentParser's.
      let code = Mayfly.exitCode(for: error)
      let message = Mayfly.fullMessage(for: error)
      if code == .success { try? Output.line(message) } else { Log.line(message) }
      return code.rawValue
    }
    Log.line("mayfly: error: " + text)
    return code
  }

  private static func describe(_ error: any Error) -> (String, Int32)? {
    switch error {
    case let error as any ContractError: (error.description, error.exitCode)
    case let error as TokenizationError: (error.description, ContractExit.data)
    case .outOfMemory as ComputeError: ("\(error)", ContractExit.failed)
    case .device as ComputeError:
      ("\(error); what was saved is whole: --resume goes on from there", ContractExit.failed)
    case .unavailable as ComputeError: ("\(error)", ContractExit.unavailable)
    case let error as ComputeError: (error.description, ContractExit.data)
    default: nil
    }
  }
}

/// Stopped by a signal, after saving.
struct Stopped: Error {
  let signal: Int32

  var exitCode: Int32 { 128 + signal }
}

/// What a command finds wrong by itself.
struct CommandError: ContractError {
  let description: String
  let exitCode: Int32

  init(_ description: String, exitCode: Int32 = ContractExit.data) {
    self.description = description
    self.exitCode = exitCode
  }
}
