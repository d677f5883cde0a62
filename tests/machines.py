"""Machines for tests of clusters, made of Linux namespaces: a launcher and some nodes on one network."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from conftest import clean_environment

PROJECT = Path(__file__).parents[1]
NAMESPACE = [
    "unshare",
    "--net",
    "--pid",
    "--mount",
    "--uts",
    "--fork",
    "--mount-proc",
    "--kill-child",
]

NETWORK = """
set -eu
source "$1/fresh.sh"
hostname launcher
mount --bind "$1/hosts" /etc/hosts
fresh "$1/launcher/tmp" /tmp
ip link set lo up
ip link add bridge type bridge
ip address add 10.77.0.1/24 dev bridge
ip link set bridge up
source "$1/launcher.sh"
for node in NODES; do
  NAMESPACE bash "$1/node.sh" "$1" $node &
  echo $! > "$1/node$node/pid"
  while [ "$(readlink /proc/$!/ns/net)" = "$(readlink /proc/self/ns/net)" ]; do sleep 0.05; done
  ip link add port$node type veth peer name eth0 netns $!
  ip link set port$node master bridge up
done
wait
"""
NODE = """
set -eu
hostname node$2
source "$1/fresh.sh"
fresh "$1/node$2/tmp" /tmp
fresh "$1/node$2/home" HOME
mount -t tmpfs none /run
ip link set lo up
until ip link show eth0 > /dev/null 2>&1; do sleep 0.05; done
ip address add 10.77.0.$2/24 dev eth0
ip link set eth0 up
ip route add default via 10.77.0.1
source "$1/service.sh"
"""
# A machine has a /tmp and a home of its own, in which only what it must see of this one's is left.
FRESH = """
fresh() {
  mkdir -p "$1"
  for kept in KEPT; do
    case "$kept" in "$2"/*)
      mkdir -p "$1${kept#"$2"}"
      mount --bind "$kept" "$1${kept#"$2"}" ;;
    esac
  done
  mount --rbind "$1" "$2"
}
"""


class Machines:
    """A launcher, 10.77.0.1, and nodes, 10.77.0.2 and so on, each with processes, a network, a name, a home
    and a /tmp of its own. What runs on a machine ends with its first process, and all with the launcher's.

    folder: which all machines see; `project` in it is a copy of this one, and `nodeN` is node N's.
    launcher, service: what starts the services of the launcher and of a node, as lines of bash in which
    $1 is the folder and $2 the node's number.
    """

    launcher = ""
    service: str

    def __init__(self, folder: Path, nodes: Iterable[int]) -> None:
        self.folder = folder
        self.nodes = tuple(nodes)
        self.project = folder / "project"
        ignored = shutil.ignore_patterns(".*", "__pycache__", "mlruns", "mlflow.db*", "site")
        shutil.copytree(PROJECT, self.project, ignore=ignored)
        shutil.copy(PROJECT / ".gitignore", self.project)
        for node in self.nodes:
            self.home(node).mkdir(parents=True)
        (folder / "launcher").mkdir()
        addresses = {"localhost": "127.0.0.1", "launcher": "10.77.0.1"}
        addresses |= {f"node{node}": f"10.77.0.{node}" for node in self.nodes}
        lines = [f"{address} {name}\n" for name, address in addresses.items()]
        (folder / "hosts").write_text("".join(lines))
        kept = " ".join(f"'{path}'" for path in {str(folder), sys.prefix, sys.base_prefix, PROJECT})
        network = NETWORK.replace("NODES", " ".join(map(str, self.nodes)))
        scripts = {
            "fresh": FRESH.replace("KEPT", kept),
            "network": network.replace("NAMESPACE", " ".join(NAMESPACE)),
            "node": NODE.replace("HOME", os.path.expanduser("~")),
            "launcher": self.launcher,
            "service": self.service,
        }
        for name, text in scripts.items():
            (folder / f"{name}.sh").write_text(text)

    def start(self) -> None:
        self.process = subprocess.Popen(
            [*NAMESPACE, "bash", self.folder / "network.sh", self.folder],
            stdin=subprocess.DEVNULL,
            stdout=open(self.folder / "network.log", "wb"),  # noqa: SIM115
            stderr=subprocess.STDOUT,
        )

    def home(self, node: int) -> Path:
        return self.folder / f"node{node}" / "home"

    @property
    def log(self) -> str:
        return "".join(file.read_text() for file in sorted(self.folder.glob("**/*.log")))

    def inside(self, *command: object) -> list[str]:
        spaces = Path(f"/proc/{self.process.pid}/ns")
        kinds = {"net": "net", "uts": "uts", "mount": "mnt", "pid": "pid_for_children"}
        enter = [f"--{kind}={spaces / name}" for kind, name in kinds.items()]
        return ["nsenter", *enter, "--", *map(str, command)]

    def run(self, *command: object, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        """A command on the launcher, in the project's folder."""
        environment = {
            **clean_environment(),
            "HOME": str(self.folder / "launcher"),
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        }
        return subprocess.run(
            self.inside("env", "-C", self.project, "timeout", timeout, *command),
            env=environment, timeout=timeout + 10, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip

    def command_lines(self) -> str:
        """Of all processes on all machines."""
        listed = self.inside("ps", "-eww", "-o", "args")
        return subprocess.run(listed, check=True, capture_output=True, text=True).stdout

    def lose(self, node: int) -> None:
        """A node is gone from one moment to the next."""
        pid = (self.folder / f"node{node}" / "pid").read_text().strip()
        assert self.run("kill", "-KILL", pid).returncode == 0

    def close(self) -> None:
        self.process.kill()
        self.process.wait(timeout=10)


def missing(tools: Iterable[str], packages: str) -> str | None:
    """Why there can be no machines with these programs here.

    packages: where Debian has the programs.
    """
    if os.geteuid() != 0:
        return "namespaces and services need root"
    lacking = [tool for tool in ("ip", "nsenter", "unshare", *tools) if not shutil.which(tool)]
    if lacking:
        return f"not installed: {', '.join(lacking)} (Debian: iproute2 {packages})"
    tried = subprocess.run(
        [*NAMESPACE, "ip", "link", "add", "bridge", "type", "bridge"],
        capture_output=True,
        text=True,
    )
    return f"no namespaces here: {tried.stderr.strip()}" if tried.returncode else None
