/// The unit file of a deployed model: it may compute, and answer on its port, and nothing else.
struct SystemdUnit {
  private let deployment: Deployment
  /// Where the deployed folder stands, as an absolute path.
  private let folder: String

  /// The first words of our unit files, by which the scripts know them.
  static let mark = "# A model served by Mayfly."

  init(_ deployment: Deployment, folder: String) {
    (self.deployment, self.folder) = (deployment, folder)
  }

  /// Whether a path can stand between a unit file's quotation marks; only its `%` needs care then.
  static func canName(_ path: String) -> Bool {
    path.unicodeScalars.allSatisfy { $0.value >= 0x20 && $0.value != 0x7F && !"\"\\$".unicodeScalars.contains($0) }
  }

  var text: String {
    let folder = folder.split(separator: "%", omittingEmptySubsequences: false).joined(separator: "%%")
    var command = "\"\(folder)/program/mayfly\" serve \"\(folder)/model\" --model-name \(deployment.name)"
    command += " --host \(deployment.host) --port \(deployment.port)"
    if let threads = deployment.threads { command += " --threads \(threads)" }
    return """
      \(Self.mark) install.sh puts its own paths into ExecStart and Environment.
      [Unit]
      Description=\(deployment.name), a language model served by Mayfly
      After=network.target

      [Service]
      Type=exec
      ExecStart=\(command)
      Environment="LD_LIBRARY_PATH=\(folder)/program"
      Restart=on-failure
      RestartSec=2
      # Answers in the making may come to their end.
      TimeoutStopSec=45
      LimitNOFILE=4096

      # A user that exists only while the service runs, without rights.
      DynamicUser=yes
      \(capabilities)
      NoNewPrivileges=yes
      UMask=0077
      KeyringMode=private

      # It reads its folder and the system's libraries, and writes nothing.
      ProtectSystem=strict
      ProtectHome=yes
      PrivateTmp=yes
      PrivateDevices=yes
      DevicePolicy=closed
      PrivateIPC=yes
      RemoveIPC=yes
      ProtectProc=invisible
      ProcSubset=pid
      ProtectHostname=yes
      ProtectClock=yes
      ProtectKernelTunables=yes
      ProtectKernelModules=yes
      ProtectKernelLogs=yes
      ProtectControlGroups=yes

      # It computes, and does nothing that a computation doesn't need.
      MemoryDenyWriteExecute=yes
      LockPersonality=yes
      RestrictRealtime=yes
      RestrictSUIDSGID=yes
      RestrictNamespaces=yes
      SystemCallArchitectures=native
      SystemCallFilter=@system-service
      SystemCallFilter=~@privileged @resources
      SystemCallErrorNumber=EPERM

      RestrictAddressFamilies=AF_INET AF_INET6
      \(network)

      [Install]
      WantedBy=multi-user.target

      """
  }

  private var capabilities: String {
    // Ports below 1024 are the system's: the one right that a service there needs, in the system's own user space.
    deployment.port < 1024 && deployment.port > 0
      ? "AmbientCapabilities=CAP_NET_BIND_SERVICE\nCapabilityBoundingSet=CAP_NET_BIND_SERVICE"
      : "AmbientCapabilities=\nCapabilityBoundingSet=\nPrivateUsers=yes"
  }

  private var network: String {
    var options = ServingOptions()
    options.host = deployment.host
    return options.isLoopback
      ? "# Only this machine reaches it.\nIPAddressDeny=any\nIPAddressAllow=localhost"
      : "# Whoever reaches --host reaches it; IPAddressDeny=any with IPAddressAllow=… narrows that."
  }
}
