/// An error that knows which exit code of the command line's contract it stands for.
///
/// The text of `description` is what the user reads: what is wrong, where, and the next step.
package protocol ContractError: Error, CustomStringConvertible {
  var exitCode: Int32 { get }
}

/// The exit codes of the contract, by what they mean (sysexits.h, where it has them).
package enum ContractExit {
  /// The work itself failed.
  package static let failed: Int32 = 1
  /// Wrong usage: unknown command or option.
  package static let usage: Int32 = 64
  /// Bad or missing input, config, setting, data or checkpoint.
  package static let data: Int32 = 65
  /// The device asked for is not there.
  package static let unavailable: Int32 = 69
  /// The output can't be written or is there already.
  package static let output: Int32 = 73
}
