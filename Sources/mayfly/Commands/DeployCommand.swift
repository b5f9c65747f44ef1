import ArgumentParser
import Formats
import Serving

/// A folder that starts by itself.
struct Deploy: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Write a folder that serves a model on another machine.",
    discussion: "Copy the folder there and run its install.sh; its README.md has the rest.")

  enum Target: String, ExpressibleByArgument, CaseIterable { case systemd, oci }

  @Argument(help: "A run, a checkpoint or a Hugging Face folder.")
  var model: String

  @Option(help: "What starts it: systemd.")
  var target: Target

  @Option(help: "The folder to write.")
  var out: String

  @Option(help: "What the service and the model are called (default: mayfly- and the model folder's name).")
  var name: String?

  @Option(help: "The address to listen on; others than 127.0.0.1 let other machines in.")
  var host = ServingOptions().host

  @Option(help: "The port to listen on.")
  var port = ServingOptions().port

  @OptionGroup var device: DeviceOptions

  func validate() throws {
    if out.isEmpty { throw ValidationError("--out: expected the name of a folder") }
    if let name, !Deployment.isName(name) {
      throw ValidationError("--name \(name.debugDescription): expected 1 to 64 letters, digits and '-', '_', '.'")
    }
    if !Deployment.isHost(host) { throw ValidationError("--host \(host.debugDescription): expected an address") }
    if !(1...65_535).contains(port) { throw ValidationError("--port \(port): expected 1 to 65535") }
  }

  func run() throws {
    guard target == .systemd else {
      throw CommandError("--target \(target.rawValue): not built yet; available: systemd", exitCode: ContractExit.usage)
    }
    // What the other machine will do, done here once: a model that doesn't load isn't deployed.
    let loaded = try LoadedModel(model, device)
    var deployment = Deployment(name: name ?? Deployment.name(for: model), host: host, port: port)
    deployment.threads = device.threads
    try deployment.write(loaded.folder, to: out)
    Log.line("\(deployment.name) is in \(out). Copy the folder to where it shall run, and there:")
    Log.line("  sudo ./install.sh")
  }
}
