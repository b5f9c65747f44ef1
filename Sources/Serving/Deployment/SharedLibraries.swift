import Formats
import Foundation

/// The shared libraries that this process runs with.
enum SharedLibraries {
  /// Their paths, by the names under which the loader looks for them; those of the C library left out: they belong to
  /// the system's kernel and loader.
  static func beyondTheSystem() -> [String] {
    var paths: [String] = []
    withUnsafeMutablePointer(to: &paths) { paths in
      _ = dl_iterate_phdr(
        { info, _, paths in
          if let name = info?.pointee.dlpi_name {
            paths?.assumingMemoryBound(to: [String].self).pointee.append(String(cString: name))
          }
          return 0
        }, paths)
    }
    // The program itself has no name, what the kernel maps no path.
    return paths.filter { $0.contains("/") && !isOfCLibrary(Path.name($0)) }
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
