internal import CCUDA
import Foundation

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

/// NVIDIA's libraries, open: never closed, as their threads outlive all else.
package final class CUDALibraries {
  let driver: mf_cuda
  let compiler: mf_nvrtc
  let products: mf_cublaslt
  /// "12.8": the newest CUDA that the driver knows.
  package let driverVersion: String
  package let compilerVersion: String
  let compilerPath: String
  /// Where each was found, for people.
  package let paths: [String]

  /// - Throws: ``CUDAError`` for the first thing that is missing.
  package init(environment: [String: String] = ProcessInfo.processInfo.environment) throws(CUDAError) {
    let search = LibrarySearch(environment: environment)
    var driver = mf_cuda()
    let driverPath = try Self.open(.driver, search, cuda: 0) { mf_cuda_load($0, &driver) }
    self.driver = driver
    try driver.check(driver.cuInit(0), "cuInit")
    var version: Int32 = 0
    try driver.check(driver.cuDriverGetVersion(&version), "cuDriverGetVersion")
    driverVersion = "\(version / 1000).\(version % 1000 / 10)"
    guard version >= 12_000 else { throw .driverTooOld(version: driverVersion) }

    let cuda = Int(version / 1000)
    var compiler = mf_nvrtc()
    let compilerPath = try Self.open(.compiler, search, cuda: cuda) { mf_nvrtc_load($0, &compiler) }
    self.compiler = compiler
    self.compilerPath = compilerPath
    var (major, minor): (Int32, Int32) = (0, 0)
    _ = compiler.nvrtcVersion(&major, &minor)
    compilerVersion = "\(major).\(minor)"
    var products = mf_cublaslt()
    let productsPath = try Self.open(.products, search, cuda: cuda) { mf_cublaslt_load($0, &products) }
    self.products = products
    paths = [driverPath, compilerPath, productsPath]
  }

  /// Opens the first file of a library that can be had.
  ///
  /// - Parameter load: fills a table; gives the name of a function that is missing.
  /// - Returns: the path.
  private static func open(
    _ library: CUDALibrary, _ search: LibrarySearch, cuda: Int,
    load: (UnsafeMutableRawPointer) -> UnsafePointer<CChar>?
  ) throws(CUDAError) -> String {
    var reasons: [String] = []
    for folder in search.folders {
      for file in library.fileNames(cuda: cuda) {
        let path = folder.map { $0 + "/" + file } ?? file
        if folder != nil, access(path, F_OK) != 0 { continue }
        guard let handle = dlopen(path, RTLD_NOW | RTLD_LOCAL) else {
          // Not to be on the loader's path is no news.
          if folder != nil { reasons.append(dlerror().map { String(cString: $0) } ?? path) }
          continue
        }
        if let missing = load(handle) {
          throw .incomplete(library: "\(library.name), \(path),", function: String(cString: missing))
        }
        return path
      }
    }
    throw .missing(library: library.name, wheel: library.wheel, reasons: reasons)
  }
}

extension mf_cuda {
  /// - Throws: ``CUDAError/failed(call:code:text:)``, or `noDevice`.
  func check(_ result: CUresult, _ call: String) throws(CUDAError) {
    if result == CUDA_SUCCESS { return }
    if result == CUDA_ERROR_NO_DEVICE { throw .noDevice }
    var text: UnsafePointer<CChar>?
    _ = cuGetErrorString(result, &text)
    throw .failed(call: call, code: Int(result), text: text.map { String(cString: $0) } ?? "unknown error")
  }
}
