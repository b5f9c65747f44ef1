import Formats
import Foundation

/// The shared libraries that this process runs with.
enum SharedLibraries {
  /// Their paths, by the names under which the loader looks for them; those of the C library left out: they belong to
  /// the system's kernel and loader.
  ///
  /// - Throws: ``FormatError``.
  static func beyondTheSystem() throws(FormatError) -> [String] {
    // Lines as "start-end rwxp offset device inode   /path/libx.so.1.2".
    let maps = String(decoding: try FileSystem.read("/proc/self/maps"), as: UTF8.self)
    let files = Set(maps.split(separator: "\n").compactMap { line in line.firstIndex(of: "/").map { line[$0...] } })
    var paths: [String] = []
    for file in files.map({ String($0) }).sorted() where Path.name(file).contains(".so") {
      if !isOfCLibrary(Path.name(file)) { paths += try names(of: file) }
    }
    return paths
  }

  /// A library is a file with its full version in its name; the loader looks for it by a link beside that.
  private static func names(of file: String) throws(FormatError) -> [String] {
    let folder = Path.parent(file)
    let links = try FileSystem.names(in: folder).map { Path.join(folder, $0) }.filter {
      $0 != file && $0.contains(".so") && URL(fileURLWithPath: $0).resolvingSymlinksInPath().path == file
    }
    return links.isEmpty ? [file] : links
  }

  private static func isOfCLibrary(_ file: String) -> Bool {
    let own = [
      "libc", "libm", "libmvec", "libpthread", "libdl", "librt", "libresolv", "libutil", "libanl", "libnsl",
      "libBrokenLocale", "libthread_db", "libc_malloc_debug",
    ]
    return file.hasPrefix("ld-linux") || file.hasPrefix("ld64.so") || file.hasPrefix("libnss_")
      || own.contains { file.hasPrefix($0 + ".so") }
  }
}
