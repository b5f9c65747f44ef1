import Formats
import Tokenization

/// How tokens look in answers.
extension ModelInfo {
  /// A token's text; where its bytes alone are no text, they are written out as OpenAI does.
  func text(of id: Int32) -> String {
    guard let bytes = bytes(of: id) else { return "token_id:\(id)" }
    if let text = String(validating: bytes, as: UTF8.self) { return text }
    return "bytes:" + bytes.map { "\\x" + ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
  }

  /// Nil for an id without a token.
  func bytes(of id: Int32) -> [UInt8]? { tokenizer.flatMap { $0.token(id) } }

  /// The text of a prompt, as an answer with `echo` repeats it.
  func text(of prompt: Prompt) -> String {
    switch prompt {
    case .text(let text): text
    case .ids(let ids): tokenizer?.decode(ids) ?? ""
    }
  }
}
