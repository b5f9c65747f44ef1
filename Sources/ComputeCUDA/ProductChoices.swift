import Foundation

/// Which of cuBLASLt's algorithms were the fastest: by product, device and version, the algorithm in hexadecimal.
///
/// Other algorithms round differently, so that a choice holds: for the machine, where there is a file, and for the runs that
/// were begun with it.
final class ProductChoices {
  private(set) var all: [String: String] = [:]
  /// Nil: nothing is kept.
  private let path: String?

  /// - Parameter path: of a JSON file, made when there is something to keep.
  init(path: String?) {
    self.path = path
    all = kept
  }

  private var kept: [String: String] {
    path.flatMap { FileManager.default.contents(atPath: $0) }
      .flatMap { try? JSONDecoder().decode([String: String].self, from: $0) } ?? [:]
  }

  /// Takes over what a run began with.
  func adopt(_ choices: [String: String]) {
    all.merge(choices) { $1 }
  }

  /// Keeps a choice; without a file that can be written it is made anew the next time.
  func record(_ algorithm: String, for product: String) {
    all[product] = algorithm
    guard let path else { return }
    // Another process may have been here.
    let everything = kept.merging([product: algorithm]) { $1 }
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
    guard let text = try? encoder.encode(everything) else { return }
    let folder = (path as NSString).deletingLastPathComponent
    try? FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    try? text.write(to: URL(filePath: path), options: .atomic)
  }
}
