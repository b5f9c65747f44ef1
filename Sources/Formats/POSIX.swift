#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

/// Why a system call failed.
struct SystemError: Error {
  let code: Int32

  var reason: String { String(cString: strerror(code)) }
  var isMissing: Bool { code == ENOENT || code == ENOTDIR }
  var isTaken: Bool { code == EEXIST }
}

/// The few system calls that reading and writing files needs; the rest of the module knows no C library.
enum POSIX {
  struct Status {
    let isFile: Bool
    let isFolder: Bool
    let size: Int
    /// Tells two names of one file or folder: device and inode.
    let identity: SIMD2<UInt64>
    /// Nanoseconds since 1970.
    let modified: Int
  }

  static func status(_ path: String) throws(SystemError) -> Status {
    var buffer = stat()
    guard stat(path, &buffer) == 0 else { throw SystemError(code: errno) }
    return Status(buffer)
  }

  static func status(_ descriptor: Int32) throws(SystemError) -> Status {
    var buffer = stat()
    guard fstat(descriptor, &buffer) == 0 else { throw SystemError(code: errno) }
    return Status(buffer)
  }

  static let standardInput: Int32 = 0

  static func openForReading(_ path: String) throws(SystemError) -> Int32 {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw SystemError(code: errno) }
    return descriptor
  }

  /// A new file; one that is there already is an error.
  static func create(_ path: String) throws(SystemError) -> Int32 {
    let descriptor = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0o666)
    guard descriptor >= 0 else { throw SystemError(code: errno) }
    return descriptor
  }

  /// A file to read and write, made if it isn't there.
  static func openForAppending(_ path: String) throws(SystemError) -> Int32 {
    let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o666)
    guard descriptor >= 0 else { throw SystemError(code: errno) }
    return descriptor
  }

  /// Raises the number of files that may be open at once, as far as the system allows: the usual limit is far below that.
  static func allowOpenFiles(_ count: Int) {
    #if canImport(Glibc)
    let resource = __rlimit_resource_t(RLIMIT_NOFILE.rawValue)
    #else
    let resource = RLIMIT_NOFILE
    #endif
    var limit = rlimit()
    guard getrlimit(resource, &limit) == 0 else { return }
    limit.rlim_cur = max(limit.rlim_cur, min(limit.rlim_max, rlim_t(max(0, count))))
    _ = setrlimit(resource, &limit)
  }

  static func closeQuietly(_ descriptor: Int32) { _ = close(descriptor) }

  /// Reads until the buffer is full or the file ends.
  static func readFully(
    _ descriptor: Int32, into buffer: UnsafeMutableRawBufferPointer, at offset: Int
  ) throws(SystemError) -> Int {
    var done = 0
    while done < buffer.count {
      guard let start = buffer.baseAddress else { break }
      let count = pread(descriptor, start + done, buffer.count - done, off_t(offset + done))
      if count > 0 {
        done += count
      } else if count == 0 {
        break
      } else if errno != EINTR {
        throw SystemError(code: errno)
      }
    }
    return done
  }

  /// Reads what comes next, which also works for pipes; 0 at the end.
  static func readNext(_ descriptor: Int32, into buffer: UnsafeMutableRawBufferPointer) throws(SystemError) -> Int {
    while true {
      let count = read(descriptor, buffer.baseAddress, buffer.count)
      if count >= 0 { return count }
      if errno != EINTR { throw SystemError(code: errno) }
    }
  }

  static func writeFully(
    _ descriptor: Int32, _ bytes: UnsafeRawBufferPointer, at offset: Int
  ) throws(SystemError) {
    var done = 0
    while done < bytes.count {
      guard let start = bytes.baseAddress else { return }
      let count = pwrite(descriptor, start + done, bytes.count - done, off_t(offset + done))
      if count >= 0 {
        done += count
      } else if errno != EINTR {
        throw SystemError(code: errno)
      }
    }
  }

  /// Writes behind what a file holds, which also works for pipes.
  static func appendFully(_ descriptor: Int32, _ bytes: UnsafeRawBufferPointer) throws(SystemError) {
    var done = 0
    while done < bytes.count {
      guard let start = bytes.baseAddress else { return }
      let count = write(descriptor, start + done, bytes.count - done)
      if count >= 0 {
        done += count
      } else if errno != EINTR {
        throw SystemError(code: errno)
      }
    }
  }

  /// Locks a file or folder until its descriptor is closed. False: another process has it.
  ///
  /// Some network folders know no locks: there everybody may come in.
  static func lock(_ descriptor: Int32) -> Bool {
    flock(descriptor, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK
  }

  static func cut(_ descriptor: Int32, to size: Int) throws(SystemError) {
    guard ftruncate(descriptor, off_t(size)) == 0 else { throw SystemError(code: errno) }
  }

  static func sync(_ descriptor: Int32) throws(SystemError) {
    guard fsync(descriptor) == 0 else { throw SystemError(code: errno) }
  }

  /// Makes the names in a folder durable. Some file systems can't sync a folder; their order is as good as it gets.
  static func syncFolder(_ path: String) {
    let descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard descriptor >= 0 else { return }
    _ = fsync(descriptor)
    _ = close(descriptor)
  }

  static func move(_ path: String, to target: String) throws(SystemError) {
    guard rename(path, target) == 0 else { throw SystemError(code: errno) }
  }

  static func makeFolder(_ path: String) throws(SystemError) {
    guard mkdir(path, 0o777) == 0 else { throw SystemError(code: errno) }
  }

  static func removeFile(_ path: String) throws(SystemError) {
    guard unlink(path) == 0 else { throw SystemError(code: errno) }
  }

  static func removeEmptyFolder(_ path: String) throws(SystemError) {
    guard rmdir(path) == 0 else { throw SystemError(code: errno) }
  }

  static func isLink(_ path: String) -> Bool {
    var buffer = stat()
    return lstat(path, &buffer) == 0 && buffer.st_mode & S_IFMT == S_IFLNK
  }

  /// Where links lead in the end; nil where that is nowhere.
  static func resolved(_ path: String) -> String? {
    guard let real = realpath(path, nil) else { return nil }
    defer { free(real) }
    return String(cString: real)
  }

  /// A folder itself, not a link to one.
  static func isRealFolder(_ path: String) -> Bool {
    var buffer = stat()
    return lstat(path, &buffer) == 0 && buffer.st_mode & S_IFMT == S_IFDIR
  }

  static func names(in folder: String) throws(SystemError) -> [String] {
    guard let stream = opendir(folder) else { throw SystemError(code: errno) }
    defer { closedir(stream) }
    var names: [String] = []
    while true {
      errno = 0
      guard let entry = readdir(stream) else {
        if errno != 0 { throw SystemError(code: errno) }
        return names
      }
      let name = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
        pointer.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
      }
      if name != ".", name != ".." { names.append(name) }
    }
  }

  /// Bytes of memory that the machine has.
  static var memory: Int { max(0, sysconf(Int32(_SC_PHYS_PAGES))) * max(1, sysconf(Int32(_SC_PAGESIZE))) }

  static var processID: Int32 { getpid() }

  /// Whether a process of this machine surely has ended.
  static func hasEnded(process: Int32) -> Bool { kill(process, 0) != 0 && errno == ESRCH }
}

extension POSIX.Status {
  init(_ buffer: stat) {
    isFile = buffer.st_mode & S_IFMT == S_IFREG
    isFolder = buffer.st_mode & S_IFMT == S_IFDIR
    size = Int(buffer.st_size)
    identity = SIMD2(UInt64(buffer.st_dev), UInt64(buffer.st_ino))
    #if canImport(Darwin)
    let time = buffer.st_mtimespec
    #else
    let time = buffer.st_mtim
    #endif
    modified = Int(time.tv_sec) * 1_000_000_000 + Int(time.tv_nsec)
  }
}
