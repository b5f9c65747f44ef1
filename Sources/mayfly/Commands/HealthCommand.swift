import ArgumentParser
import Serving

/// Whether a service answers.
struct Health: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Ask a running service whether it answers (exit code 0 if it does).")

  @Option(help: "Where it listens.")
  var host = ServingOptions().host

  @Option(help: "Its port.")
  var port = ServingOptions().port

  @Option(help: "Seconds to wait.")
  var timeout = 5

  func validate() throws {
    if !Deployment.isHost(host) { throw ValidationError("--host \(host.debugDescription): expected an address") }
    if !(1...65_535).contains(port) { throw ValidationError("--port \(port): expected 1 to 65535") }
    if !(1...3600).contains(timeout) { throw ValidationError("--timeout \(timeout): expected 1 to 3600") }
  }

  func run() throws {
    try HealthCheck.run(host: host, port: port, timeout: timeout)
    try Output.line("ok")
  }
}
