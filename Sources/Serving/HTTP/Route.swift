import Hummingbird

/// What can be asked for.
enum Route: String, CaseIterable {
  case page = "/"
  case health = "/health"
  case metrics = "/metrics"
  case models = "/v1/models"
  case model = "/v1/models/{id}"
  case completions = "/v1/completions"
  case chat = "/v1/chat/completions"
  case embeddings = "/v1/embeddings"

  /// - Parameter path: without a query.
  init?(path: Substring) {
    if let route = Self(rawValue: String(path)), route != .model {
      self = route
    } else if path.hasPrefix("/v1/models/") {
      self = .model
    } else {
      return nil
    }
  }

  var methods: [HTTPRequest.Method] {
    switch self {
    case .completions, .chat, .embeddings: [.post]
    default: [.get, .head]
    }
  }

  /// Whether it is for everybody where the others need a key: what shows that the server lives, and the page that asks
  /// for the key.
  var isOpen: Bool { self == .page || self == .health }
}
