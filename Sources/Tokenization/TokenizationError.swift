package import Formats

package enum TokenizationError: Error, Equatable, Sendable, CustomStringConvertible {
  case cannotRead(path: String, reason: String)
  case notJSON(JSONError)
  /// A part of a tokenizer.json that is missing or of the wrong type; `key` is its path, such as `model.vocab`.
  case malformed(key: String, expected: String, found: String)
  /// A tokenizer.json that is sound but of a kind that Mayfly does not have.
  case unsupported(key: String, found: String, supported: String)
  case duplicateID(id: Int, first: String, second: String)
  case idOutOfRange(token: String, id: Int, limit: Int)
  /// No token stands for this byte, so that not every text could be encoded.
  case missingByte(UInt8)
  case mergeOutOfVocabulary(index: Int, token: String)
  case vocabularyTooSmall(asked: Int, minimum: Int)

  package var description: String {
    switch self {
    case .cannotRead(let path, let reason):
      "cannot read the tokenizer \(path): \(reason)"
    case .notJSON(let error):
      "the tokenizer is not valid JSON: \(error)"
    case .malformed(let key, let expected, let found):
      "tokenizer.json: \(key) should be \(expected), but is \(found)"
    case .unsupported(let key, let found, let supported):
      "tokenizer.json: \(key) is \(found), which is not supported; supported: \(supported)"
    case .duplicateID(let id, let first, let second):
      "tokenizer.json: id \(id) stands for two tokens, \"\(first)\" and \"\(second)\""
    case .idOutOfRange(let token, let id, let limit):
      "tokenizer.json: the token \"\(token)\" has id \(id); ids go from 0 to \(limit - 1)"
    case .missingByte(let byte):
      "tokenizer.json: no token for byte \(byte); a byte-level vocabulary has all 256"
    case .mergeOutOfVocabulary(let index, let token):
      "tokenizer.json: merge \(index) needs the token \"\(token)\", which is not in model.vocab"
    case .vocabularyTooSmall(let asked, let minimum):
      "a vocabulary of \(asked) tokens is too small: the bytes and special tokens alone are \(minimum)"
    }
  }
}
