/// Paths as texts, taken apart and put together.
package enum Path {
  package static func join(_ folder: String, _ name: String) -> String {
    if folder.isEmpty { return name }
    return folder.hasSuffix("/") ? folder + name : folder + "/" + name
  }

  /// The last component, without slashes behind it: "c" for "a/b/c/".
  package static func name(_ path: String) -> String {
    let trimmed = withoutTrailingSlashes(path)
    guard let slash = trimmed.lastIndex(of: "/") else { return String(trimmed) }
    let name = trimmed[trimmed.index(after: slash)...]
    return name.isEmpty ? "/" : String(name)
  }

  /// The folder that holds the last component: "a/b" for "a/b/c", "." for "c".
  package static func parent(_ path: String) -> String {
    let trimmed = withoutTrailingSlashes(path)
    guard let slash = trimmed.lastIndex(of: "/") else { return "." }
    let parent = withoutTrailingSlashes(String(trimmed[..<slash]))
    return parent.isEmpty ? "/" : String(parent)
  }

  /// What follows the name's last dot, in lower case; empty where there is none, or only a leading one.
  package static func fileExtension(_ path: String) -> String {
    let name = name(path)
    guard let dot = name.lastIndex(of: "."), dot != name.startIndex else { return "" }
    return name[name.index(after: dot)...].lowercased()
  }

  private static func withoutTrailingSlashes(_ path: String) -> Substring {
    var end = path.endIndex
    while end > path.startIndex {
      let previous = path.index(before: end)
      if path[previous] != "/" || previous == path.startIndex { break }
      end = previous
    }
    return path[..<end]
  }
}
