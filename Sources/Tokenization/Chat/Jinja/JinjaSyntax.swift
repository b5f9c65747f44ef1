/// An expression of a template. Its depth is known when it is made, so that no tree gets deeper than the stack allows.
struct JinjaExpression: Sendable {
  indirect enum Form: Sendable {
    case constant(JinjaConstant)
    case name(String)
    case list([JinjaExpression])
    case tuple([JinjaExpression])
    case dict([(key: JinjaExpression, value: JinjaExpression)])
    case attribute(JinjaExpression, String)
    case item(JinjaExpression, JinjaExpression)
    case slice(start: JinjaExpression?, stop: JinjaExpression?, step: JinjaExpression?)
    case call(JinjaExpression, JinjaCall)
    /// Without a value: of a block.
    case filter(JinjaExpression?, String, JinjaCall)
    case test(JinjaExpression, String, JinjaCall)
    case binary(JinjaExpression, String, JinjaExpression)
    case concatenation([JinjaExpression])
    case comparison(JinjaExpression, [(sign: String, JinjaExpression)])
    case negative(JinjaExpression)
    case positive(JinjaExpression)
    case not(JinjaExpression)
    case and(JinjaExpression, JinjaExpression)
    case or(JinjaExpression, JinjaExpression)
    case condition(test: JinjaExpression, then: JinjaExpression, otherwise: JinjaExpression?)
  }

  static let deepest = 200

  let form: Form
  let line: Int
  let depth: Int

  /// - Throws: unless the tree stays flat enough.
  init(_ form: Form, line: Int, over parts: [JinjaExpression] = []) throws(JinjaError) {
    self.form = form
    self.line = line
    depth = 1 + (parts.lazy.map(\.depth).max() ?? 0)
    guard depth <= Self.deepest else {
      throw JinjaError("an expression has more than \(Self.deepest) levels", line: line)
    }
  }
}

/// A value that a template writes down: of those that never change.
enum JinjaConstant: Sendable {
  case none
  case bool(Bool)
  case integer(Int)
  case number(Double)
  case text(JinjaText)

  var value: JinjaValue {
    switch self {
    case .none: .none
    case .bool(let value): .bool(value)
    case .integer(let value): .integer(value)
    case .number(let value): .number(value)
    case .text(let value): .text(value)
    }
  }
}

/// The arguments of a call.
struct JinjaCall: Sendable {
  var positional: [JinjaExpression] = []
  var named: [(name: String, value: JinjaExpression)] = []
  var unpackedList: JinjaExpression?
  var unpackedDict: JinjaExpression?

  var parts: [JinjaExpression] {
    positional + named.map(\.value) + [unpackedList, unpackedDict].compactMap(\.self)
  }
}

/// Where a value is stored.
indirect enum JinjaTarget: Sendable {
  case name(String)
  case tuple([JinjaTarget])
  case namespace(String, attribute: String)
}

struct JinjaStatement: Sendable {
  indirect enum Form: Sendable {
    case text(JinjaText)
    case output(JinjaExpression)
    case condition([(test: JinjaExpression, body: [JinjaStatement])], otherwise: [JinjaStatement])
    case loop(JinjaLoopSyntax)
    case assignment(JinjaTarget, JinjaExpression)
    case blockAssignment(JinjaTarget, filter: JinjaExpression?, [JinjaStatement])
    case macro(JinjaMacroSyntax)
    case callBlock(JinjaExpression, JinjaMacroSyntax)
    case filterBlock(JinjaExpression, [JinjaStatement])
    case with([(JinjaTarget, JinjaExpression)], [JinjaStatement])
    case generation([JinjaStatement])
    case leaveLoop, nextRound
  }

  let form: Form
  let line: Int
}

struct JinjaLoopSyntax: Sendable {
  let target: JinjaTarget
  let sequence: JinjaExpression
  let filter: JinjaExpression?
  let body: [JinjaStatement]
  let otherwise: [JinjaStatement]
}

struct JinjaMacroSyntax: Sendable {
  let name: String
  let parameters: [(name: String, standard: JinjaExpression?)]
  let body: [JinjaStatement]
  /// The names in the body: `varargs`, `kwargs` and `caller` are there only for macros that name them.
  let names: Set<String>
}
