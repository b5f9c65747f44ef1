import Formats
import Serving
import Testing

@Suite("Serving errors")
struct ServingErrorTests {
  @Test("name the address and what to do")
  func describes() {
    let error = ServingError.address(host: "127.0.0.1", port: 80, reason: "permission denied")
    #expect(error.description.contains("127.0.0.1:80"))
    #expect(error.description.contains("--port"))
    #expect(error.exitCode == ContractExit.failed)
  }
}
