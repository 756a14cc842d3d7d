"""What is taken away from the process of a plugin, by the means that the system has.

    namespaces    a network without anything in it, the plugin's own processes and nobody else's, every file read-only
                  but for the scratch folder (Linux, where users may make namespaces)
    Landlock      files: what was named may be read, the scratch folder written, all else is out of reach (Linux 5.13)
    seccomp       no sockets, so neither networks nor the services behind a socket in a folder (Linux on x86-64, ARM64)
    limits        memory, size of files, no core dumps (every Unix)

Each is taken where it is there, and `means` says which are not.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import platform
import signal
import struct
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

NEWNS, NEWIPC, NEWUSER, NEWPID, NEWNET = 0x00020000, 0x08000000, 0x10000000, 0x20000000, 0x40000000

NO_NEW_PRIVILEGES, SET_SECCOMP, PARENT_DEATH_SIGNAL, SUBREAPER = 38, 22, 1, 36

READ_FILE, READ_DIR, WRITE_FILE, EXECUTE, IOCTL = 1 << 2, 1 << 3, 1 << 1, 1 << 0, 1 << 15
"""Rights of Landlock that are given; all others that it knows are given in the scratch folder alone."""

RIGHTS = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 4: (1 << 15) - 1}
"""All rights over files that a version of Landlock knows; from the fifth on there are sixteen."""

SOCKETS = {"x86_64": (0xC000003E, 41, 425), "aarch64": (0xC00000B7, 198, 425)}
"""Of an architecture: its number for seccomp, and the system calls `socket` and `io_uring_setup`."""

SYSTEM = (
    "/lib", "/lib32", "/lib64", "/usr/lib", "/usr/lib32", "/usr/lib64", "/usr/libexec", "/usr/local/lib", "/usr/share",
    "/usr/local/cuda", "/opt/cuda", "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/localtime",
    "/etc/nsswitch.conf", "/etc/passwd", "/etc/group", "/etc/alternatives", "/etc/fonts", "/sys/devices",
    "/sys/bus/pci", "/sys/module", "/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/proc/version", "/proc/driver",
    "/proc/sys", "/proc/self",
)  # fmt: skip
"""What programs need of a system; none of it is the user's."""

SHARED = "/dev/shm"
"""Where programs keep memory that their processes share; a namespace has an empty one of its own."""

DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")


def _libc() -> Any:
    return ctypes.CDLL(None, use_errno=True)


def _call(function: str, *arguments: Any) -> int:
    """A function of the C library. Raises OSError where it fails."""
    result = getattr(_libc(), function)(*arguments)
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return int(result)


def control_process(option: int, value: int = 1) -> None:
    """prctl; nothing happens where there is none. Of SUBREAPER and the like."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            _call("prctl", option, ctypes.c_ulong(value), ctypes.c_ulong(0), ctypes.c_ulong(0), ctypes.c_ulong(0))


def die_with_parent() -> None:
    """The kernel ends this process when its parent ends."""
    control_process(PARENT_DEATH_SIGNAL, signal.SIGKILL)


def apart(scratch: str) -> list[str]:
    """Put this process, which must have one thread, and those that it makes into namespaces of their own.

    Returns what could not be had.
    """
    if sys.platform != "linux":
        return ["namespaces"]
    user, group = os.getuid(), os.getgid()
    try:
        _call("unshare", NEWUSER | NEWNET | NEWPID | NEWIPC | NEWNS)
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    except OSError:
        return ["namespaces"]
    try:
        _read_only(scratch)
    except OSError:
        return ["read-only files"]
    return []


def _read_only(scratch: str) -> None:
    """Every mounted file system is read-only for this process, but for the scratch folder."""
    recursive, private, bind, no_devices, here = 0x4000, 1 << 18, 0x1000, 2 | 4 | 8, -100
    _call("mount", None, b"/", None, ctypes.c_ulong(recursive | private), None)
    _call("mount", scratch.encode(), scratch.encode(), None, ctypes.c_ulong(bind), None)
    if os.path.isdir(SHARED):
        _call("mount", b"tmpfs", SHARED.encode(), b"tmpfs", ctypes.c_ulong(no_devices), b"size=1g")
    own = [(path, 0, 0, 1) for path in (scratch, SHARED) if os.path.isdir(path)]
    for path, flags, taken, given in (("/", 0x8000, 1, 0), *own):
        attributes = ctypes.create_string_buffer(struct.pack("QQQQ", taken, given, 0, 0))
        _call("syscall", 442, here, path.encode(), flags, attributes, ctypes.c_size_t(32))  # mount_setattr


def landlock_version() -> int:
    """The version of Landlock that the system has; 0 where it has none."""
    if sys.platform != "linux":
        return 0
    with contextlib.suppress(OSError):
        return _call("syscall", 444, None, ctypes.c_size_t(0), 1)
    return 0


def _landlock(readable: Iterable[str], listed: Iterable[str], writable: Iterable[str]) -> None:
    """Files beneath `readable` may be read, names beneath `listed` too, those beneath `writable` written, no others."""
    version = landlock_version()
    files = RIGHTS.get(version, (1 << 16) - 1)
    network = 3 if version >= 4 else 0
    scoped = 3 if version >= 6 else 0
    attributes = struct.pack("QQQ", files, network, scoped)[: 8 if version < 4 else 16 if version < 6 else 24]
    ruleset = _call("syscall", 444, ctypes.create_string_buffer(attributes), ctypes.c_size_t(len(attributes)), 0)
    devices = [str(path) for path in Path("/dev").glob("nvidia*")]
    rules = [(path, READ_FILE | READ_DIR | EXECUTE) for path in (*readable, *SYSTEM)]
    rules += [(path, READ_DIR) for path in listed]
    rules += [(path, READ_FILE | WRITE_FILE | READ_DIR | IOCTL) for path in (*DEVICES, *devices)]
    for path, rights in (*rules, *((folder, files) for folder in writable)):
        with contextlib.suppress(OSError):  # what is not there need not be allowed
            _allow(ruleset, path, rights & files)
    control_process(NO_NEW_PRIVILEGES)
    _call("syscall", 446, ruleset, 0)
    os.close(ruleset)


def _allow(ruleset: int, path: str, rights: int) -> None:
    handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        if not os.path.isdir(path):
            rights &= READ_FILE | WRITE_FILE | EXECUTE | IOCTL
        rule = ctypes.create_string_buffer(struct.pack("=Qi", rights, handle))
        _call("syscall", 445, ruleset, 1, rule, 0)
    finally:
        os.close(handle)


def _no_sockets() -> None:
    """A filter of system calls: no socket is made, and none by way of io_uring either."""
    number, *forbidden = SOCKETS[platform.machine()]
    load, equal, give, allow, refuse = 0x20, 0x15, 0x06, 0x7FFF0000, 0x00050000 | 13
    # another architecture's calls (32 bit) have other numbers: none of them is allowed
    program = [(load, 0, 0, 4), (equal, 1, 0, number), (give, 0, 0, refuse), (load, 0, 0, 0)]
    # calls of x86-64 with numbers from 0x40000000 are the same ones under other names
    program += [(0x35, len(forbidden) + 1, 0, 0x40000000)]
    program += [(equal, len(forbidden) - place, 0, call) for place, call in enumerate(forbidden)]
    program += [(give, 0, 0, allow), (give, 0, 0, refuse)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in program))
    filter_ = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(program), ctypes.addressof(code)))
    control_process(NO_NEW_PRIVILEGES)
    _call("prctl", SET_SECCOMP, ctypes.c_ulong(2), filter_, ctypes.c_ulong(0), ctypes.c_ulong(0))


def _limits(memory: int) -> None:
    import resource

    for name, value in (("RLIMIT_DATA", memory), ("RLIMIT_FSIZE", memory), ("RLIMIT_CORE", 0)):
        with contextlib.suppress(ValueError, OSError, AttributeError):
            resource.setrlimit(getattr(resource, name), (value, value))


def confine(readable: Sequence[str], listed: Sequence[str], writable: Sequence[str], memory: int) -> list[str]:
    """Take away what this process shall not have, for good. Returns what the system has no means for."""
    missing = []
    _limits(memory)
    try:
        _landlock(readable, listed, writable)
    except (OSError, AttributeError):
        missing.append("Landlock")
    try:
        _no_sockets()
    except (OSError, KeyError, AttributeError):
        missing.append("seccomp")
    return missing


MEANS = {
    "namespaces": "the plugin's processes are not kept apart from others, and networks are only as far away as "
    "Landlock and seccomp keep them",
    "read-only files": "files may be given other rights or times, though not be written",
    "Landlock": "every file that the user can read can be read",
    "seccomp": "services behind a socket in a folder can be reached",
    "processes": "plugins share linkbench's own process",
}
"""What is missing without each means."""

_PROBE = """
import json, sys
from linkbench.boundary import sandbox
scratch = sys.argv[1]
missing = sandbox.apart(scratch)
print(json.dumps(missing + sandbox.confine([], [], [scratch], 1 << 40)))
"""


@functools.cache
def missing() -> tuple[str, ...]:
    """The means that this system does not have, found out in a process that is put behind all of them."""
    import json
    import tempfile

    if not hasattr(os, "fork"):
        return ("processes",)
    with tempfile.TemporaryDirectory(prefix="linkbench-") as scratch:
        done = subprocess.run(
            [sys.executable, "-c", _PROBE, scratch],
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        )
    try:
        return tuple(name for name in json.loads(done.stdout) if name in MEANS)
    except ValueError:
        return ("namespaces", "Landlock", "seccomp")
