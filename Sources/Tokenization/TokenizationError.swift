package import Formats

/// What is wrong with a tokenizer.json or with what was asked of a tokenizer.
package enum TokenizationError: ContractError, Equatable, Sendable {
  case file(FormatError)
  /// Another of these errors, and the file it is about.
  indirect case inFile(path: String, TokenizationError)
  case notJSON(JSONError)
  /// A part of a tokenizer.json that is missing or of the wrong type; `key` is its path, such as `model.vocab`.
  case malformed(key: String, expected: String, found: String)
  /// A tokenizer.json that is sound but of a kind that Mayfly does not have.
  case unsupported(key: String, found: String, supported: String)
  case duplicateID(id: Int, first: String, second: String)
  case idOutOfRange(token: String, id: Int, limit: Int)
  /// No token stands for this byte, so that not every text could be encoded.
  case missingByte(UInt8)
  /// A merge of tokens, or into a token, that `model.vocab` does not have.
  case mergeOutOfVocabulary(index: Int, merge: String)
  /// A token that a part of the file needs and `model.vocab` does not have.
  case missingToken(key: String, token: String)
  /// What only byte-level BPE can do, asked of another kind of tokenizer.
  case notByteLevel(String)
  case vocabularyTooSmall(asked: Int, minimum: Int)
  case vocabularyTooLarge(asked: Int, maximum: Int)
  /// More different words than a vocabulary can be learned from at once.
  case tooManyWords(bytes: Int)
  /// A chat template that can't be read or rendered; lines count from 1.
  case template(line: Int, problem: String)
  /// A conversation that the template itself refuses, in its words.
  case refused(String)
  /// A template that doesn't tell which tokens are the answer of a message (counted from 1).
  case unclearAnswer(message: Int)

  package var exitCode: Int32 { ContractExit.data }

  package var description: String {
    switch self {
    case .file(let error):
      error.description
    case .inFile(let path, let error):
      "\(path): \(error)"
    case .notJSON(let error):
      error.description
    case .malformed(let key, let expected, let found):
      "\(key) should be \(expected), but is \(found)"
    case .unsupported(let key, let found, let supported):
      "\(key) is \(found), which is not supported (supported: \(supported))"
    case .duplicateID(let id, let first, let second):
      "id \(id) stands for two tokens, \"\(first)\" and \"\(second)\""
    case .idOutOfRange(let token, let id, let limit):
      "the token \"\(token)\" has id \(id); ids go from 0 to \(limit - 1)"
    case .missingByte(let byte):
      "no token for byte \(byte); a byte-level vocabulary has all 256"
    case .mergeOutOfVocabulary(let index, let merge):
      "model.merges[\(index)] is \(merge); its two tokens or what they give are not in model.vocab"
    case .missingToken(let key, let token):
      "\(key) is \"\(token)\", which is no token of the file; add it to model.vocab"
    case .notByteLevel(let what):
      "\(what) needs a byte-level BPE tokenizer; this one is of another kind"
    case .vocabularyTooSmall(let asked, let minimum):
      "a vocabulary of \(asked) tokens is too small: the bytes and special tokens alone are \(minimum)"
    case .vocabularyTooLarge(let asked, let maximum):
      "a vocabulary of \(asked) tokens is too large; at most \(maximum)"
    case .tooManyWords(let bytes):
      "the different words take \(bytes) bytes, more than 4 GiB; learn the vocabulary from a part of the texts"
    case .template(let line, let problem):
      "the chat template, line \(line): \(problem)"
    case .refused(let message):
      "the chat template refuses the conversation: \(message)"
    case .unclearAnswer(let message):
      "the chat template doesn't tell which tokens are the answer in message \(message): what it writes up to there "
        + "changes with what follows; mark answers in it with {% generation %}…{% endgeneration %}"
    }
  }
}
