import ComputeCUDA
import Foundation
import TestSupport
import Testing

/// Stand-ins for NVIDIA's libraries, of a few lines of C each: what a machine may have, and lack.
@Suite("Opening CUDA")
struct OpeningTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  private static let driverFunctions = [
    "cuGetErrorName", "cuDeviceGetUuid_v2", "cuDevicePrimaryCtxRetain", "cuDevicePrimaryCtxRelease_v2",
    "cuCtxSetCurrent", "cuCtxSynchronize", "cuMemGetInfo_v2", "cuMemAlloc_v2", "cuMemFree_v2", "cuMemAllocHost_v2",
    "cuMemFreeHost", "cuMemcpyHtoDAsync_v2", "cuMemcpyDtoHAsync_v2", "cuMemcpyDtoDAsync_v2", "cuMemsetD8Async",
    "cuStreamCreate", "cuStreamDestroy_v2", "cuStreamSynchronize", "cuStreamWaitEvent", "cuStreamBeginCapture_v2",
    "cuStreamEndCapture", "cuEventCreate", "cuEventDestroy_v2", "cuEventRecord", "cuEventQuery", "cuEventSynchronize",
    "cuEventElapsedTime", "cuModuleLoadData", "cuModuleUnload", "cuModuleGetFunction", "cuFuncSetAttribute",
    "cuLaunchKernel", "cuGraphInstantiateWithFlags", "cuGraphLaunch", "cuGraphExecDestroy", "cuGraphDestroy",
  ]

  private func compile(_ name: String, _ source: String) throws {
    let text = folder.file(name + ".c")
    try source.write(toFile: text, atomically: true, encoding: .utf8)
    let compiler = Process()
    compiler.executableURL = URL(filePath: "/bin/sh")
    // Swift brings its own.
    let clang = #"exec "$(dirname "$(readlink -f "$(command -v swift)")")/clang" "$@""#
    compiler.arguments = ["-c", clang, "sh", "-shared", "-fPIC", "-w", "-o", folder.file(name), text]
    try compiler.run()
    compiler.waitUntilExit()
    try #require(compiler.terminationStatus == 0)
  }

  private func makeDriver(
    version: Int = 12_080, devices: Int = 1, capability: (Int, Int) = (9, 0), initResult: Int = 0, without: String = ""
  ) throws {
    let empty = Self.driverFunctions.filter { $0 != without }.map { "int \($0)() { return 0; }" }
    try compile(
      "libcuda.so.1",
      """
      #include <string.h>
      int cuInit(unsigned f) { return \(initResult); }
      int cuDriverGetVersion(int *v) { *v = \(version); return 0; }
      int cuGetErrorString(int e, const char **t) { *t = e == 999 ? "unknown error of the driver" : 0; return 0; }
      int cuDeviceGetCount(int *n) { *n = \(devices); return 0; }
      int cuDeviceGet(int *d, int i) { *d = i; return 0; }
      int cuDeviceGetName(char *name, int n, int d) { strcpy(name, "A card"); return 0; }
      int cuDeviceTotalMem_v2(unsigned long *b, int d) { *b = 24ul << 30; return 0; }
      int cuDeviceGetAttribute(int *v, int a, int d) {
        *v = a == 75 ? \(capability.0) : a == 76 ? \(capability.1) : 128;
        return 0;
      }
      \(empty.joined(separator: "\n"))
      """)
  }

  private func makeCompiler(_ file: String = "libnvrtc.so.12", major: Int = 12) throws {
    let empty = [
      "nvrtcCreateProgram", "nvrtcCompileProgram", "nvrtcGetProgramLogSize", "nvrtcGetProgramLog",
      "nvrtcGetCUBINSize", "nvrtcGetCUBIN", "nvrtcDestroyProgram",
    ].map { "int \($0)() { return 0; }" }
    try compile(
      file,
      "int nvrtcVersion(int *a, int *b) { *a = \(major); *b = 4; return 0; }\n" + empty.joined(separator: "\n"))
  }

  private func makeProducts() throws {
    let names = [
      "Create", "Destroy", "MatmulDescCreate", "MatmulDescDestroy", "MatmulDescSetAttribute", "MatrixLayoutCreate",
      "MatrixLayoutDestroy", "MatrixLayoutSetAttribute", "MatmulPreferenceCreate", "MatmulPreferenceDestroy",
      "MatmulPreferenceSetAttribute", "MatmulAlgoGetHeuristic", "Matmul", "GetProperty",
    ]
    try compile("libcublasLt.so.12", names.map { "int cublasLt\($0)() { return 0; }" }.joined(separator: "\n"))
  }

  private func open() throws(CUDAError) -> CUDALibraries {
    try CUDALibraries(environment: ["MAYFLY_CUDA_PATH": folder.path])
  }

  private func problem() -> CUDAError? {
    do {
      _ = try CUDADevice.first(open())
      return nil
    } catch {
      return error
    }
  }

  @Test("says what it found")
  func found() throws {
    try makeDriver()
    try makeCompiler()
    try makeProducts()
    let libraries = try open()
    #expect(libraries.driverVersion == "12.8" && libraries.compilerVersion == "12.4")
    #expect(libraries.paths == ["libcuda.so.1", "libnvrtc.so.12", "libcublasLt.so.12"].map { folder.file($0) })
    let device = try CUDADevice.first(libraries)
    #expect(device.name == "A card" && device.capability == "9.0" && device.memoryBytes == 24 << 30)
  }

  @Test("names what is missing, and how to get it")
  func missing() throws {
    let without = try #require(problem())
    #expect("\(without)".contains("libcuda") && "\(without)".contains("install the NVIDIA driver"))
    try makeDriver()
    #expect("\(try #require(problem()))".contains("NVRTC was not found; run `make cuda`"))
    try makeCompiler()
    #expect("\(try #require(problem()))".contains("nvidia-cublas"))
    try "no library".write(toFile: folder.file("libcublasLt.so.12"), atomically: true, encoding: .utf8)
    #expect("\(try #require(problem()))".contains("libcublasLt.so.12"), "what is there and doesn't open is named")
  }

  @Test("refuses what is too old")
  func old() throws {
    try makeCompiler()
    try makeProducts()
    try makeDriver(version: 11_080)
    #expect(problem() == .driverTooOld(version: "11.8"))
    #expect("\(CUDAError.driverTooOld(version: "11.8"))".contains("update the driver"))
  }

  @Test("refuses a card that our kernels don't run on", arguments: [((7, 0), true), ((7, 5), false), ((12, 0), false)])
  func cards(capability: (Int, Int), isRefused: Bool) throws {
    try makeDriver(capability: capability)
    try makeCompiler()
    try makeProducts()
    let expected = CUDAError.deviceTooOld(name: "A card", capability: "\(capability.0).\(capability.1)")
    #expect(problem() == (isRefused ? expected : nil))
  }

  @Test("says that there is no card", arguments: [(1, 100), (0, 0)])
  func noCard(devices: Int, initResult: Int) throws {
    try makeDriver(devices: devices, initResult: initResult)
    try makeCompiler()
    try makeProducts()
    #expect(problem() == .noDevice)
  }

  @Test("says what the driver says")
  func driverError() throws {
    try makeDriver(initResult: 999)
    #expect(problem() == .failed(call: "cuInit", code: 999, text: "unknown error of the driver"))
  }

  @Test("names a function that a library lacks")
  func incomplete() throws {
    try makeDriver(without: "cuGraphLaunch")
    guard case .incomplete(let library, "cuGraphLaunch") = problem() else {
      Issue.record("\(String(describing: problem()))")
      return
    }
    #expect(library.contains(folder.file("libcuda.so.1")))
  }

  @Test("takes no compiler that is newer than the driver")
  func newer() throws {
    try makeDriver(version: 12_040)
    try makeProducts()
    try makeCompiler("libnvrtc.so.13", major: 13)
    #expect("\(try #require(problem()))".contains("NVRTC was not found"))
    try makeCompiler()
    #expect(problem() == nil)
  }
}
