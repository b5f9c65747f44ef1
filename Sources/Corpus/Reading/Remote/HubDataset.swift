import Formats
import Foundation

/// A dataset of Hugging Face's hub: `hf://datasets/OWNER/NAME`, with `@REVISION` behind it, and a folder, a file or a
/// pattern of files in it.
struct HubDataset {
  /// OWNER/NAME.
  let name: String
  let revision: String
  /// A path in the dataset; * and ? stand for what isn't a slash, ** for everything; empty: all files.
  let pattern: String
  private let address: String

  private static let form = "hf://datasets/OWNER/NAME, and if need be @REVISION and /PATH behind it, * allowed in it"

  /// - Throws: ``CorpusError/badAddress(_:expected:)``.
  init(_ address: String) throws(CorpusError) {
    self.address = address
    let scheme = "hf://datasets/"
    guard address.lowercased().hasPrefix(scheme) else { throw .badAddress(address, expected: Self.form) }
    let parts = address.dropFirst(scheme.count).split(separator: "/", omittingEmptySubsequences: true)
    guard parts.count >= 2 else { throw .badAddress(address, expected: Self.form) }
    let named = parts[1].split(separator: "@", maxSplits: 1, omittingEmptySubsequences: false)
    let isName = [parts[0], named[0]].allSatisfy {
      !$0.isEmpty && $0 != ".." && $0 != "." && $0.utf8.allSatisfy { Self.nameBytes.contains($0) }
    }
    guard isName, named.count == 1 || !named[1].isEmpty else { throw .badAddress(address, expected: Self.form) }
    name = "\(parts[0])/\(named[0])"
    revision = named.count > 1 ? String(named[1]).removingPercentEncoding ?? String(named[1]) : "main"
    pattern = parts.dropFirst(2).joined(separator: "/")
  }

  private static let nameBytes = Set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.".utf8)

  /// The files that the pattern means and that can be read, in the order of their paths' bytes, and how many can't be.
  ///
  /// All are of the commit that the revision means now.
  ///
  /// - Throws: ``CorpusError/download(address:problem:)``, ``CorpusError/noText(folder:skipped:)``.
  func files() throws(CorpusError) -> (files: [RemoteFile], unsupported: Int) {
    let api = "\(Self.endpoint)/api/datasets/\(name)"
    let commit = try commit(from: "\(api)/revision/\(Self.escaped(revision, keepsSlashes: false))")
    var next: String? = "\(api)/tree/\(commit)?recursive=true"
    var files: [(path: String, file: RemoteFile)] = []
    var unsupported = 0
    // A server that leads in a circle would never end.
    var seen: Set<String> = []
    while let page = next, seen.insert(page).inserted {
      let (entries, following) = try json(page)
      for entry in entries.array ?? [] where entry["type"]?.string == "file" {
        guard let path = entry["path"]?.string, means(path), !Self.isAboutTheDataset(path) else { continue }
        guard FileFormat(name: Path.name(path)) != nil else {
          unsupported += 1
          continue
        }
        let lfs = entry["lfs"]?["oid"]?.string
        let checksum =
          lfs.map { RemoteFile.Checksum.sha256($0) } ?? entry["oid"]?.string.map { RemoteFile.Checksum.gitBlob($0) }
        let address = "\(Self.endpoint)/datasets/\(name)/resolve/\(commit)/\(Self.escaped(path, keepsSlashes: true))"
        files.append(
          (
            path,
            RemoteFile(
              address: address, path: path, size: entry["size"]?.int, checksum: checksum)
          ))
      }
      next = following
    }
    if files.isEmpty { throw .noText(folder: address, skipped: unsupported) }
    files.sort { $0.path.utf8.lexicographicallyPrecedes($1.path.utf8) }
    return (files.map(\.file), unsupported)
  }

  /// Hugging Face's own variable, for its mirrors.
  private static var endpoint: String {
    let given = ProcessInfo.processInfo.environment["HF_ENDPOINT"] ?? ""
    let endpoint = given.isEmpty ? "https://huggingface.co" : given
    return endpoint.hasSuffix("/") ? String(endpoint.dropLast()) : endpoint
  }

  /// Headers for requests to the hub.
  static var headers: [String] {
    let token = ProcessInfo.processInfo.environment["HF_TOKEN"] ?? ""
    return token.isEmpty ? [] : ["Authorization: Bearer \(token.filter { !$0.isNewline })"]
  }

  // MARK: Asking the hub

  private func commit(from address: String) throws(CorpusError) -> String {
    guard let sha = try json(address).body["sha"]?.string, sha.count >= 7, sha.allSatisfy(\.isHexDigit) else {
      throw .download(address: address, problem: "the answer names no commit (\"sha\")")
    }
    return sha
  }

  private func json(_ address: String) throws(CorpusError) -> (body: JSON, next: String?) {
    let folder = Path.join(Download.cacheFolder(), "hub")
    try withFiles(try FileSystem.createFolder(folder))
    let headersPath = Path.join(folder, "headers.\(ProcessInfo.processInfo.processIdentifier)")
    defer { try? FileSystem.remove(headersPath) }
    var problem = ""
    for attempt in 1...Web.attempts {
      var body: [UInt8] = []
      let answer = try Web.get(address, headers: Self.headers, keepingHeadersAt: headersPath) {
        block throws(CorpusError) in
        body.append(contentsOf: block)
        guard body.count < 256 << 20 else { throw .download(address: address, problem: "a list of over 256 MiB") }
      }
      if answer.isWhole {
        do {
          return (try JSON.parse(body), answer.headers["link"].flatMap(Self.next(in:)))
        } catch {
          throw .download(address: address, problem: "expected JSON: \(error)")
        }
      }
      if answer.isMissing { throw .download(address: self.address, problem: "the hub has no such dataset or revision") }
      if answer.isForbidden {
        throw .download(
          address: self.address,
          problem: "the hub doesn't show this dataset; if it is yours or you have access, set HF_TOKEN to a token")
      }
      problem = answer.problem
      guard answer.mayPass else { break }
      if attempt < Web.attempts { Web.pause(after: attempt) }
    }
    throw .download(address: address, problem: problem.isEmpty ? "no answer" : problem)
  }

  /// `<https://…>; rel="next"`.
  private static func next(in link: String) -> String? {
    for part in link.split(separator: ",") where part.contains("rel=\"next\"") {
      guard let start = part.firstIndex(of: "<"), let end = part.firstIndex(of: ">"), start < end else { continue }
      return String(part[part.index(after: start)..<end])
    }
    return nil
  }

  // MARK: Paths

  /// Whether a file tells of the dataset instead of being part of it.
  private static func isAboutTheDataset(_ path: String) -> Bool {
    let parts = path.split(separator: "/")
    let name = parts.last?.lowercased() ?? ""
    return parts.contains { $0.hasPrefix(".") } || name.hasPrefix("readme") || name.hasPrefix("license")
  }

  private func means(_ path: String) -> Bool {
    pattern.isEmpty || path == pattern || path.hasPrefix(pattern + "/")
      || Self.matches(Array(path.utf8)[...], Array(pattern.utf8)[...])
  }

  static func matches(_ path: ArraySlice<UInt8>, _ pattern: ArraySlice<UInt8>) -> Bool {
    // Where the last * and ** stood, and how far each had reached.
    var (path, pattern) = (path, pattern)
    var retries: [(path: ArraySlice<UInt8>, pattern: ArraySlice<UInt8>, crosses: Bool)] = []
    let (star, slash, question) = (UInt8(ascii: "*"), UInt8(ascii: "/"), UInt8(ascii: "?"))
    while true {
      if let next = pattern.first {
        if next == star {
          let stars = pattern.prefix { $0 == star }.count
          pattern = pattern.dropFirst(stars)
          // A later ** can stand for all that an earlier star could.
          if stars > 1 { retries.removeAll() }
          if stars == 1, let last = retries.last, !last.crosses { retries.removeLast() }
          retries.append((path, pattern, stars > 1))
          continue
        }
        if let byte = path.first, byte == next || (next == question && byte != slash) {
          (path, pattern) = (path.dropFirst(), pattern.dropFirst())
          continue
        }
      } else if path.isEmpty {
        return true
      }
      // The last star takes one byte more.
      while let last = retries.last, last.path.isEmpty || (!last.crosses && last.path.first == slash) {
        retries.removeLast()
      }
      guard let last = retries.popLast() else { return false }
      retries.append((last.path.dropFirst(), last.pattern, last.crosses))
      (path, pattern) = (last.path.dropFirst(), last.pattern)
    }
  }

  private static func escaped(_ text: String, keepsSlashes: Bool) -> String {
    text.utf8.map { byte -> String in
      if nameBytes.contains(byte) || (keepsSlashes && byte == UInt8(ascii: "/")) { return String(UnicodeScalar(byte)) }
      return "%" + (byte < 16 ? "0" : "") + String(byte, radix: 16, uppercase: true)
    }.joined()
  }
}
