/// What can go wrong while a graph is built or prepared.
package enum ComputeError: Error, Equatable, CustomStringConvertible {
  /// An operand's shape doesn't fit the operation.
  case shape(op: String, expected: String, got: String)
  /// An operation's setting is impossible, whatever the operands.
  case setting(op: String, problem: String)
  /// The graph asks for a tensor that its layout doesn't have.
  case unknownTensor(name: String)
  /// Memory for a plan can't be had.
  case outOfMemory(bytes: Int, purpose: String)
  /// The machine can't run what was asked.
  case unavailable(String)
  /// A device failed while it ran.
  case device(String)

  package var description: String {
    switch self {
    case .shape(let op, let expected, let got): "\(op): expected \(expected), got \(got)"
    case .setting(let op, let problem): "\(op): \(problem)"
    case .unknownTensor(let name): "no tensor named '\(name)' in this layout"
    case .outOfMemory(let bytes, let purpose):
      "\(bytes >> 20) MiB for \(purpose) can't be had; use a smaller model, context or train.micro_batch_size"
    case .unavailable(let what), .device(let what): what
    }
  }
}
