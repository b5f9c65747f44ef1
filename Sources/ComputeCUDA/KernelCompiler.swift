internal import CCUDA
import Compute
import Crypto
import Foundation

/// Compiles our kernels for the GPU at hand, once: what was compiled is kept on disk, by the hash of all that went into it.
struct KernelCompiler {
  private let libraries: CUDALibraries
  private let architecture: String
  /// Nil: nothing is kept.
  private let cache: String?

  /// - Parameter cache: a folder, made when it is needed.
  init(_ libraries: CUDALibraries, _ device: CUDADevice, cache: String?) {
    self.libraries = libraries
    architecture = device.architecture
    self.cache = cache
  }

  /// The machine code of a file of kernels.
  ///
  /// - Parameter defines: "NAME=VALUE".
  /// - Parameter isUsable: whether the driver takes it; what was kept may be broken.
  /// - Throws: ``ComputeError/device(_:)`` with the compiler's words.
  func compile<Module>(
    _ file: String, defines: [String], load: ([UInt8]) -> Module?
  ) throws(ComputeError) -> Module {
    guard let text = Self.texts(mf_kernel_files()).first(where: { $0.name == file }) else {
      preconditionFailure("no kernels in \(file)")
    }
    let fixed = mf_kernel_options()
    let options =
      (0..<fixed.count).compactMap { fixed.items[$0].map { String(cString: $0) } } + [
        "--gpu-architecture=\(architecture)"
      ]
      + defines.map { "-D\($0)" }
    let path = cachePath(text, options)
    if let path, let kept = FileManager.default.contents(atPath: path), let module = load(Array(kept)) {
      return module
    }
    let image = try compile(text, options)
    guard let module = load(image) else { throw .device("the driver doesn't take \(file) as compiled: update it") }
    if let path { keep(image, at: path) }
    return module
  }

  private struct Text {
    let name: String
    let pointer: UnsafePointer<CChar>
    let bytes: UnsafeRawBufferPointer
  }

  private static func texts(_ list: mf_kernel_texts) -> [Text] {
    (0..<list.count).map { index in
      let item = list.items[index]
      return Text(
        name: String(cString: item.name), pointer: item.text,
        bytes: UnsafeRawBufferPointer(start: item.text, count: item.bytes))
    }
  }

  // MARK: The cache

  private func cachePath(_ text: Text, _ options: [String]) -> String? {
    guard let cache else { return nil }
    var hash = SHA256()
    // Two builds of one version may differ.
    for part in [libraries.compilerVersion, libraries.compilerPath] + options {
      hash.update(data: Data((part + "\n").utf8))
    }
    for header in Self.texts(mf_kernel_headers()) { hash.update(bufferPointer: header.bytes) }
    hash.update(bufferPointer: text.bytes)
    return cache + "/" + hash.finalize().map { String(format: "%02x", $0) }.joined() + ".cubin"
  }

  /// Best effort: without it kernels are compiled anew the next time.
  private func keep(_ image: [UInt8], at path: String) {
    let folder = (path as NSString).deletingLastPathComponent
    try? FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    try? Data(image).write(to: URL(filePath: path), options: .atomic)
  }

  // MARK: The compiler

  private func compile(_ text: Text, _ options: [String]) throws(ComputeError) -> [UInt8] {
    let compiler = libraries.compiler
    let headers = Self.texts(mf_kernel_headers())
    let headerTexts = headers.map { Optional($0.pointer) }
    var program: nvrtcProgram?
    let created = withCStrings(headers.map(\.name)) { names in
      compiler.nvrtcCreateProgram(&program, text.pointer, text.name, Int32(headers.count), headerTexts, names)
    }
    defer { if program != nil { _ = compiler.nvrtcDestroyProgram(&program) } }
    guard created == 0 else { throw .device("NVRTC can't read \(text.name) (\(created))") }
    let result = withCStrings(options) { compiler.nvrtcCompileProgram(program, Int32(options.count), $0) }
    guard result == 0 else {
      throw .device(
        "NVRTC \(libraries.compilerVersion) can't compile \(text.name) for \(architecture):\n\(log(of: program))")
    }
    var bytes = 0
    var image: [UInt8] = []
    if compiler.nvrtcGetCUBINSize(program, &bytes) == 0 {
      image = [UInt8](repeating: 0, count: bytes)
      let read = image.withUnsafeMutableBytes {
        compiler.nvrtcGetCUBIN(program, $0.baseAddress?.assumingMemoryBound(to: CChar.self))
      }
      if read == 0, bytes > 0 { return image }
    }
    throw .device("NVRTC \(libraries.compilerVersion) has no machine code of \(text.name) for \(architecture)")
  }

  private func log(of program: nvrtcProgram?) -> String {
    var bytes = 0
    guard libraries.compiler.nvrtcGetProgramLogSize(program, &bytes) == 0, bytes > 0 else { return "" }
    var text = [CChar](repeating: 0, count: bytes)
    _ = libraries.compiler.nvrtcGetProgramLog(program, &text)
    return String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }
}

private func withCStrings<T>(_ strings: [String], _ body: ([UnsafePointer<CChar>?]) -> T) -> T {
  let copies = strings.map { strdup($0) }
  defer { for copy in copies { free(copy) } }
  return body(copies.map { UnsafePointer($0) })
}
