"""What a child process gives up before it reads an unknown file. Called by the child itself; cannot be undone.

In layers, as far as the system has them: resource limits everywhere; on Linux a seccomp filter (no network, no new
programs or processes, no changes to any file) and Landlock (nothing can be opened but the interpreter and its
libraries); an audit hook as the last line, which is all that other systems have besides the limits.
"""

from __future__ import annotations

import ctypes
import os
import platform
import resource
import struct
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

PR_SET_DUMPABLE, PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 4, 38, 22, 2
_RETURN_ALLOW, _RETURN_ERRNO, _RETURN_KILL = 0x7FFF0000, 0x00050000, 0x80000000
_EPERM, _EACCES, _ENOSYS = 1, 13, 38
_LOAD, _JUMP_EQUAL, _JUMP_GREATER_EQUAL, _JUMP_SET, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_O_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
_CLONE_THREAD = 0x10000

# System call -> (number on x86_64, number on aarch64); None where the machine does not have it.
_REFUSED: dict[str, tuple[int | None, int | None]] = {
    "socket": (41, 198), "socketpair": (53, 199), "connect": (42, 203), "bind": (49, 200), "listen": (50, 201),
    "accept": (43, 202), "accept4": (288, 242), "sendto": (44, 206), "sendmsg": (46, 211), "sendmmsg": (307, 269),
    "fork": (57, None), "vfork": (58, None), "execve": (59, 221), "execveat": (322, 281), "kill": (62, 129),
    "tkill": (200, 130), "rt_sigqueueinfo": (129, 138), "rt_tgsigqueueinfo": (297, 240), "ptrace": (101, 117),
    "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "pidfd_open": (434, 434),
    "pidfd_send_signal": (424, 424), "pidfd_getfd": (438, 438), "creat": (85, None), "truncate": (76, 45),
    "rename": (82, None), "renameat": (264, 38), "renameat2": (316, 276), "mkdir": (83, None), "mkdirat": (258, 34),
    "rmdir": (84, None), "link": (86, None), "linkat": (265, 37), "unlink": (87, None), "unlinkat": (263, 35),
    "symlink": (88, None), "symlinkat": (266, 36), "chmod": (90, None), "fchmod": (91, 52), "fchmodat": (268, 53),
    "fchmodat2": (452, 452), "chown": (92, None), "fchown": (93, 55), "lchown": (94, None), "fchownat": (260, 54),
    "utime": (132, None), "utimes": (235, None), "utimensat": (280, 88), "futimesat": (261, None),
    "mknod": (133, None), "mknodat": (259, 33), "setxattr": (188, 5), "lsetxattr": (189, 6), "fsetxattr": (190, 7),
    "removexattr": (197, 14), "mount": (165, 40), "umount2": (166, 39), "move_mount": (429, 429),
    "open_tree": (428, 428), "fsopen": (430, 430), "pivot_root": (155, 41), "chroot": (161, 51), "unshare": (272, 97),
    "setns": (308, 268), "bpf": (321, 280), "perf_event_open": (298, 241), "userfaultfd": (323, 282),
    "keyctl": (250, 219), "add_key": (248, 217), "request_key": (249, 218), "init_module": (175, 105),
    "finit_module": (313, 273), "delete_module": (176, 106), "kexec_load": (246, 104), "reboot": (169, 142),
    "swapon": (167, 224), "acct": (163, 89), "settimeofday": (164, 170), "clock_settime": (227, 112),
    "sethostname": (170, 161), "setuid": (105, 146), "setgid": (106, 144), "setresuid": (117, 147),
    "open_by_handle_at": (304, 265), "memfd_create": (319, 279), "prlimit64": (302, 261), "shmget": (29, 194),
    "shmat": (30, 196), "mq_open": (240, 180), "quotactl": (179, 60), "ioperm": (173, None), "iopl": (172, None),
}  # fmt: skip
# These have a second way to say the same, in memory that a filter cannot read: the C library falls back from them.
_UNKNOWN: dict[str, tuple[int | None, int | None]] = {
    "clone3": (435, 435),
    "openat2": (437, 437),
    "io_uring_setup": (425, 425),
}
_OPEN: tuple[tuple[int | None, int | None], int] = ((2, None), 1)
_OPENAT: tuple[tuple[int | None, int | None], int] = ((257, 56), 2)
_CLONE: tuple[tuple[int | None, int | None], int] = ((56, 220), 0)
_MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}

_LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT = 444, 445, 446
_FS_EXECUTE, _FS_READ_FILE, _FS_READ_DIR = 1, 4, 8

SYSTEM_READABLE = (
    "/usr",
    "/lib",
    "/lib64",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/proc/self",
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/proc/stat",
    "/sys/devices/system",
    "/sys/fs/cgroup",
    "/dev/null",
    "/dev/urandom",
)


def limit_resources(*, memory_bytes: int, cpu_s: int) -> None:
    """Bound memory, processor time, files; no core dump, no growing file."""
    wanted = {
        resource.RLIMIT_AS: memory_bytes,
        resource.RLIMIT_CPU: cpu_s,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_NOFILE: 256,
    }
    _bound(wanted)


def refuse_processes() -> None:
    """Let no new process begin, where the kernel's filter does not see to that.

    The bound counts threads too, for everybody but root: it comes after those that are needed have begun.
    """
    _bound({resource.RLIMIT_NPROC: 0})


def _bound(wanted: dict[int, int]) -> None:
    for name, value in wanted.items():
        _, hard = resource.getrlimit(name)
        bound = value if hard == resource.RLIM_INFINITY else min(value, hard)
        try:
            resource.setrlimit(name, (bound, bound))
        except (ValueError, OSError):
            # macOS has no bound for the address space; the other layers hold.
            continue


def confine(readable: Iterable[str]) -> list[str]:
    """Give up network, processes and files but for `readable`; return the layers that are in force."""
    layers = ["limits"]
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        libc.prctl.argtypes = [ctypes.c_int, *[ctypes.c_ulong] * 4]
        libc.prctl.restype = ctypes.c_int
        libc.syscall.restype = ctypes.c_long
        libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
        if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0:
            if _landlock(libc, readable):
                layers.append("landlock")
            if _seccomp(libc):
                layers.append("seccomp")
    sys.addaudithook(_refuse)
    return [*layers, "audit"]


_REFUSED_EVENTS = frozenset(
    [
        "os.system",
        "os.exec",
        "os.posix_spawn",
        "os.spawn",
        "os.fork",
        "os.forkpty",
        "subprocess.Popen",
        "os.remove",
        "os.rename",
        "os.rmdir",
        "os.mkdir",
        "os.link",
        "os.symlink",
        "os.chmod",
        "os.chown",
        "os.truncate",
        "os.kill",
        "os.killpg",
        "pty.spawn",
        "shutil.rmtree",
        "webbrowser.open",
        "ftplib.connect",
        "smtplib.connect",
        "urllib.Request",
        "sqlite3.connect",
    ]
)


def _refuse(event: str, arguments: tuple[Any, ...]) -> None:
    if event in _REFUSED_EVENTS or event.startswith("socket."):
        raise PermissionError(f"{event} is not allowed while an unknown model file is read")
    if event == "open" and isinstance(arguments[2], int) and arguments[2] & _O_WRITES:
        raise PermissionError("no file may be written while an unknown model file is read")


def _seccomp(libc: Any) -> bool:
    machine = _MACHINES.get(platform.machine())
    if machine is None or sys.maxsize < 2**32:
        return False
    program = _filter(*machine)
    code = b"".join(struct.pack("=HBBI", *step) for step in program)
    buffer = ctypes.create_string_buffer(code, len(code))

    class Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))

    prepared = Program(len(program), ctypes.addressof(buffer))
    return bool(libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.addressof(prepared), 0, 0) == 0)


def _filter(column: int, architecture: int) -> list[tuple[int, int, int, int]]:
    """Return a BPF program: (operation, jump if true, jump if false, value) a step."""
    steps = [
        (_LOAD, 0, 0, 4),
        (_JUMP_EQUAL, 1, 0, architecture),
        (_RETURN, 0, 0, _RETURN_KILL),
        (_LOAD, 0, 0, 0),
    ]
    if column == 0:
        # The x32 numbers name the same calls a second time.
        steps += [(_JUMP_GREATER_EQUAL, 0, 1, 0x40000000), (_RETURN, 0, 0, _RETURN_KILL)]
    for table, answer in ((_REFUSED, _EPERM), (_UNKNOWN, _ENOSYS)):
        for numbers in table.values():
            number = numbers[column]
            if number is not None:
                steps += [(_JUMP_EQUAL, 0, 1, number), (_RETURN, 0, 0, _RETURN_ERRNO | answer)]
    for (numbers, argument), mask, allowed_if_set, answer in (
        (_OPEN, _O_WRITES, False, _EACCES),
        (_OPENAT, _O_WRITES, False, _EACCES),
        (_CLONE, _CLONE_THREAD, True, _EPERM),
    ):
        number = numbers[column]
        if number is None:
            continue
        refused = (_RETURN, 0, 0, _RETURN_ERRNO | answer)
        allowed = (_RETURN, 0, 0, _RETURN_ALLOW)
        steps += [
            (_JUMP_EQUAL, 0, 4, number),
            (_LOAD, 0, 0, 16 + 8 * argument),
            (_JUMP_SET, 0, 1, mask),
            allowed if allowed_if_set else refused,
            refused if allowed_if_set else allowed,
        ]
    return [*steps, (_RETURN, 0, 0, _RETURN_ALLOW)]


def _landlock(libc: Any, readable: Iterable[str]) -> bool:
    version = libc.syscall(_LANDLOCK_CREATE, None, ctypes.c_size_t(0), ctypes.c_uint32(1))
    if version < 1:
        return False
    # Every right that this version knows is taken away; only reading is given back. From version 4 TCP as well.
    files = (1 << 13) - 1 | (1 << 13 if version >= 2 else 0) | (1 << 14 if version >= 3 else 0)  # noqa: PLR2004
    attributes = struct.pack("=QQ", files, 3 if version >= 4 else 0)[: 16 if version >= 4 else 8]  # noqa: PLR2004
    ruleset = libc.syscall(_LANDLOCK_CREATE, attributes, ctypes.c_size_t(len(attributes)), ctypes.c_uint32(0))
    if ruleset < 0:
        return False
    try:
        for path in readable:
            _allow_reading(libc, ruleset, path)
        return bool(libc.syscall(_LANDLOCK_RESTRICT, ruleset, ctypes.c_uint32(0)) == 0)
    finally:
        os.close(ruleset)


def _allow_reading(libc: Any, ruleset: int, path: str) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        rights = _FS_READ_FILE | _FS_EXECUTE | (_FS_READ_DIR if os.path.isdir(path) else 0)  # noqa: PTH112
        rule = struct.pack("=Qi", rights, descriptor)
        libc.syscall(_LANDLOCK_ADD, ruleset, 1, rule, ctypes.c_uint32(0))
    finally:
        os.close(descriptor)


def readable_paths(search_path: Sequence[str]) -> list[str]:
    """Return what an interpreter needs to read: the system's libraries, its own, and `search_path`."""
    own = {sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix}
    return [*SYSTEM_READABLE, *sorted(own), *(path for path in search_path if path)]
