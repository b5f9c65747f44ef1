extension Deployment {
  /// Names are safe between quotation marks: ``isName(_:)`` and ``isHost(_:)`` have seen to it.
  private var head: String {
    """
    set -eu
    name='\(name)'
    here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd -P)
    root=${DESTDIR:-}
    folder=/opt/mayfly/$name
    units=/etc/systemd/system
    unit=$units/$name.service

    say() { printf '%s\\n' "$*"; }
    fail() { printf '%s\\n' "$(basename -- "$0"): $*" >&2; exit 1; }
    ours() { grep -q '^\(SystemdUnit.mark)' -- "$1"; }

    if [ -z "$root" ] && [ "$(id -u)" -ne 0 ]; then fail "needs root: run it with sudo"; fi
    if [ -e "$root$unit" ] && ! ours "$root$unit"; then
      fail "$root$unit is not Mayfly's: deploy again with another --name"
    fi

    """
  }

  var installScript: String {
    """
    #!/bin/sh
    # Makes this folder a service that starts with the machine. It may be run again, also after an edit of the unit.
    #
    #   sudo ./install.sh
    #   DESTDIR=ROOT ./install.sh     prepares another system's root, and starts nothing
    \(head)
    for other in /usr/lib/systemd/system /lib/systemd/system; do
      [ ! -e "$root$other/$name.service" ] || fail "the system has a $name.service of its own: deploy with another --name"
    done
    LD_LIBRARY_PATH="$here/program" "$here/program/mayfly" --version >/dev/null ||
      fail "the program doesn't run here: it needs a processor and a C library like those of the machine that made it"

    if [ "$here" != "$root$folder" ]; then
      say "copying to $root$folder"
      mkdir -p -- "$root$folder.new"
      rm -rf -- "$root$folder.new"
      mkdir -- "$root$folder.new"
      cp -R -- "$here/program" "$here/model" "$here/$name.service" "$here/README.md" "$here/install.sh" \\
        "$here/uninstall.sh" "$here/health.sh" "$root$folder.new/"
      chmod -R a+rX,go-w -- "$root$folder.new"
      chmod 755 -- "$root/opt/mayfly"
      rm -rf -- "$root$folder"
      mv -- "$root$folder.new" "$root$folder"
    fi

    say "writing $root$unit"
    mkdir -p -- "$root$units/multi-user.target.wants"
    sed -e "s|^ExecStart=\\"[^\\"]*/program/mayfly\\" serve \\"[^\\"]*/model\\"|ExecStart=$folder/program/mayfly serve $folder/model|" \\
      -e "s|^Environment=\\"LD_LIBRARY_PATH=.*|Environment=LD_LIBRARY_PATH=$folder/program|" \\
      -- "$here/$name.service" >"$root$unit.new"
    chmod 644 -- "$root$unit.new"
    mv -- "$root$unit.new" "$root$unit"
    ln -sfn "../$name.service" "$root$units/multi-user.target.wants/$name.service"

    if [ -n "$root" ]; then
      say "installed into $root: it starts with that system"
    elif [ -d /run/systemd/system ]; then
      systemctl daemon-reload
      systemctl restart "$name.service"
      say "$name runs at \(url), and starts with the machine"
      say "  $folder/health.sh             does it answer?"
      say "  journalctl -u $name           what it says"
      say "  sudo $folder/uninstall.sh     removes it"
    else
      say "installed; systemd doesn't run here, so nothing was started"
    fi

    """
  }

  var uninstallScript: String {
    """
    #!/bin/sh
    # Stops the service and removes what install.sh has installed. It may be run again.
    #
    #   sudo ./uninstall.sh           DESTDIR=ROOT as for install.sh
    \(head)
    if [ ! -e "$root$unit" ] && [ ! -e "$root$folder" ]; then say "$name is not installed"; exit 0; fi
    if [ -z "$root" ] && [ -d /run/systemd/system ] && [ -e "$unit" ]; then
      say "stopping $name"
      systemctl disable --now "$name.service"
    fi
    say "removing $root$unit and $root$folder"
    rm -f -- "$root$units/multi-user.target.wants/$name.service" "$root$unit"
    rm -rf -- "$root$folder" "$root$folder.new"
    rmdir -- "$root/opt/mayfly" 2>/dev/null || :
    if [ -z "$root" ] && [ -d /run/systemd/system ]; then systemctl daemon-reload; fi

    """
  }

  var healthScript: String {
    """
    #!/bin/sh
    # Asks the service whether it answers: exit code 0 if it does. Needs no other program.
    here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd -P) || exit 1
    LD_LIBRARY_PATH=$here/program exec "$here/program/mayfly" health --host '\(host)' --port \(port) "$@"

    """
  }

  var readme: String {
    """
    # \(name)

    A language model as a service, made by `mayfly deploy`. It needs a Linux with systemd, a processor of the same kind
    and a C library no older than on the machine that made it; nothing else.

        sudo ./install.sh      # copies this folder to /opt/mayfly/\(name), starts the service now and with the machine
        ./health.sh            # does it answer?
        sudo ./uninstall.sh    # stops it and removes what install.sh has installed

    Then open \(url) in a browser, or use OpenAI's clients with \(url)/v1.

    | | |
    |---|---|
    | `program/` | Mayfly and the libraries that it runs with |
    | `model/` | the model; `manifest.json` has the size and SHA-256 of each file, which are checked at each start |
    | `\(name).service` | the unit: edit it and run install.sh again to change port, address or limits |

    The service runs as a user of its own, without rights, writes nothing, and can't reach the network beyond what the
    unit allows. `systemd-analyze security \(name)` shows how far it is shut in. To try it without installing anything:

        program/mayfly serve model

    """
  }

  private var url: String { "http://\(host.contains(":") ? "[\(host)]" : host):\(port)" }
}
