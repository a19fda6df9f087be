"""A real S3 server for tests: Ceph's RADOS gateway over one OSD that keeps its objects in memory.

    python tests/store/radosgw.py [--install-only]

The first use, as root on Debian, takes about a minute and 1 GB: debootstrap and apt fill a chroot under
`$XDG_CACHE_HOME/poise/ceph` from the mirror that apt itself is set up with. Then monitor, OSD and gateway start
on free loopback ports, and one line of JSON with the environment to use (`AWS_*`) is printed. The server lives
until standard input is closed. The line is `{"unavailable": "why"}`, and the exit code 1, where it cannot run.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

PACKAGES = ["radosgw", "ceph-mon", "ceph-osd", "ceph-common"]
PROGRAMS = ["ceph", "ceph-authtool", "ceph-mon", "ceph-osd", "monmaptool", "radosgw", "radosgw-admin"]
SUITE = "sid"  # the newest Ceph in Debian: conditional writes need 20
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
START_TIMEOUT_S = 90.0

CONFIG = """
[global]
fsid = {fsid}
mon_host = [v2:127.0.0.1:{mon_v2},v1:127.0.0.1:{mon_v1}]
public_network = 127.0.0.0/8
cluster_network = 127.0.0.0/8
keyring = {home}/keyring
run_dir = {home}
admin_socket = {home}/$name.asok
log_file = {home}/$name.log
mon_data = {home}/mon
osd_data = {home}/osd
osd_objectstore = memstore
memstore_device_bytes = 6442450944
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 4
osd_pool_default_pg_autoscale_mode = off
osd_crush_chooseleaf_type = 0
mon_allow_pool_size_one = true
mon_max_pg_per_osd = 1000
mon_data_avail_crit = 1
rgw_data = {home}/rgw
rgw_frontends = beast endpoint=127.0.0.1:{rgw} tcp_nodelay=1
rgw_enable_ops_log = false
rgw_enable_usage_log = false
"""


class Unavailable(Exception):
    """The server cannot be installed or started here; the text says why."""


def run(*command: str | Path, cwd: Path | None = None, env: dict[str, str] | None = None) -> str:
    """Standard output of a command that must succeed."""
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={**os.environ, "LC_ALL": "C", **(env or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        lines = (done.stdout + done.stderr).strip().splitlines() or ["no output"]
        raise Unavailable(f"{Path(command[0]).name} ended with {done.returncode}: {' / '.join(lines[-3:])}")
    return done.stdout


def cache_folder() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "poise" / "ceph"


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """One installation at a time."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


# --- installation -------------------------------------------------------------------------------------------


def installed_root() -> Path:
    """The chroot, installed first if it is not there yet."""
    if os.geteuid() != 0:
        raise Unavailable("only root can install and start Ceph in a chroot")
    root = cache_folder() / SUITE
    with locked(cache_folder()):
        if not root.exists():
            unfinished = cache_folder() / f"{SUITE}.unfinished"
            shutil.rmtree(unfinished, ignore_errors=True)
            install(unfinished)
            unfinished.rename(root)
    return root


def install(root: Path) -> None:
    for tool in ("apt-get", "dpkg-deb", "chroot", "setpriv"):
        if not shutil.which(tool):
            raise Unavailable(f"{tool} is not on this machine; Ceph is installed from Debian")
    with contextlib.suppress(Unavailable):  # one unreachable source of several is no obstacle
        run("apt-get", "update")
    mirror = debian_mirror()
    with tempfile.TemporaryDirectory() as scratch:
        debootstrap, env = find_debootstrap(Path(scratch))
        run(debootstrap, "--variant=minbase", f"--keyring={KEYRING}", SUITE, root, mirror, env=env)
    no_services = root / "usr/sbin/policy-rc.d"
    no_services.write_text("#!/bin/sh\nexit 101\n")
    no_services.chmod(0o755)
    with contextlib.suppress(Unavailable):  # set-up scripts that want a running systemd fail, and do not matter
        options = ["-y", "--no-install-recommends", "-o", "Dpkg::Options::=--force-unsafe-io"]
        run("chroot", root, "apt-get", "install", *options, *PACKAGES, env={"DEBIAN_FRONTEND": "noninteractive"})
    for program in PROGRAMS:
        run("chroot", root, program, "--version" if program != "monmaptool" else "--help")
    run("chroot", root, "apt-get", "clean")


def debian_mirror() -> str:
    """The address that this machine's apt takes Debian's main archive from."""
    wanted = ["Origin: Debian", "Label: Debian", "Created-By: Packages"]
    found = run("apt-get", "indextargets", "--format", "$(REPO_URI)", *wanted).split()
    if not found:
        raise Unavailable("apt has no Debian archive among its sources")
    return found[0]


def find_debootstrap(scratch: Path) -> tuple[Path, dict[str, str]]:
    """debootstrap as installed, or unpacked from its package without installing that."""
    if there := shutil.which("debootstrap"):
        return Path(there), {}
    run("apt-get", "download", "debootstrap", cwd=scratch)
    run("dpkg-deb", "-x", next(scratch.glob("debootstrap_*.deb")), scratch)
    return scratch / "usr/sbin/debootstrap", {"DEBOOTSTRAP_DIR": str(scratch / "usr/share/debootstrap")}


# --- one session --------------------------------------------------------------------------------------------


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [held.getsockname()[1] for held in sockets]


class Session:
    """The daemons of one run, their files (in the chroot, under /var/tmp) and the keys made for it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.home = f"/var/tmp/poise-{os.getpid()}"  # as the daemons in the chroot see it
        self.folder = root / self.home.lstrip("/")
        self.daemons: list[subprocess.Popen[bytes]] = []
        self.access_key = secrets.token_hex(10).upper()
        self.secret_key = secrets.token_hex(20)

    def command(self, program: str, *arguments: str) -> list[str]:
        return ["chroot", str(self.root), program, "-c", f"{self.home}/ceph.conf", *arguments]

    def daemon(self, program: str, *arguments: str) -> None:
        """Starts a server that dies with this process, whatever ends it."""
        log = (self.folder / f"{program}.out").open("wb")
        command = ["setpriv", "--pdeathsig", "KILL", *self.command(program, "-f", *arguments)]
        self.daemons.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log))
        log.close()

    def start(self) -> dict[str, str]:
        """The environment in which clients reach the server."""
        self.folder.mkdir(mode=0o700)
        mon_v2, mon_v1, rgw = free_ports(3)
        fsid = str(uuid.uuid4())
        config = CONFIG.format(fsid=fsid, home=self.home, mon_v2=mon_v2, mon_v1=mon_v1, rgw=rgw)
        (self.folder / "ceph.conf").write_text(config)
        self.start_monitor(fsid, f"[v2:127.0.0.1:{mon_v2},v1:127.0.0.1:{mon_v1}]")
        self.start_storage()
        user = ["--uid=poise", "--display-name=poise", f"--access-key={self.access_key}"]
        run(*self.command("radosgw-admin", "user", "create", *user, f"--secret-key={self.secret_key}"))
        self.daemon("radosgw", "-n", "client.admin")
        self.wait_for_port(rgw)
        return {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{rgw}",
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_REGION": "us-east-1",
        }

    def start_monitor(self, fsid: str, address: str) -> None:
        inside = ["chroot", self.root]
        keyring, monmap = f"{self.home}/keyring", f"{self.home}/monmap"
        everything = ["--cap", "mon", "allow *", "--cap", "osd", "allow *"]
        for name in ("mon.", "client.admin", "osd.0"):
            create = [] if (self.folder / "keyring").exists() else ["--create-keyring"]
            run(*inside, "ceph-authtool", *create, keyring, "--gen-key", "-n", name, *everything)
        run(*inside, "monmaptool", "--create", "--fsid", fsid, "--addv", "a", address, monmap)
        run(*self.command("ceph-mon", "-i", "a", "--mkfs", "--monmap", monmap, "--keyring", keyring))
        self.daemon("ceph-mon", "-i", "a")

    def start_storage(self) -> None:
        identity = str(uuid.uuid4())
        run(*self.command("ceph", "--connect-timeout", str(int(START_TIMEOUT_S)), "osd", "new", identity))
        (self.folder / "osd").mkdir()
        run(*self.command("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", identity))
        self.daemon("ceph-osd", "-i", "0")

    def wait_for_port(self, port: int) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                return
            for daemon in self.daemons:
                if daemon.poll() is not None:
                    raise Unavailable(f"a daemon of Ceph ended with {daemon.returncode}")
            time.sleep(0.1)
        raise Unavailable(f"the gateway did not answer within {START_TIMEOUT_S:.0f} s")

    def stop(self) -> None:
        for daemon in reversed(self.daemons):
            daemon.kill()
            daemon.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


def sweep(root: Path) -> None:
    """Removes what sessions left that were killed."""
    for folder in (root / "var/tmp").glob("poise-*"):
        if not Path(f"/proc/{folder.name.removeprefix('poise-')}").exists():
            shutil.rmtree(folder, ignore_errors=True)


def main() -> int:
    parser = argparse.ArgumentParser(description="A real S3 server for tests, until standard input is closed")
    parser.add_argument("--install-only", action="store_true")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with contextlib.ExitStack() as stack:
        try:
            root = installed_root()
            if arguments.install_only:
                return 0
            sweep(root)
            session = Session(root)
            stack.callback(session.stop)
            print(json.dumps(session.start()), flush=True)
        except (Unavailable, OSError) as error:
            print(json.dumps({"unavailable": str(error)}), flush=True)
            return 1
        sys.stdin.read()
    return 0


if __name__ == "__main__":
    sys.exit(main())
