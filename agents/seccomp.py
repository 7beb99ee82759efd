"""A seccomp filter (seccomp(2)) for sandboxed seats: calls a job never needs answer EPERM.

The list follows Docker's default profile without capabilities, made stricter: no ptrace, no
namespaces, no mounts, no keyrings, no bpf, no io_uring.
"""

from __future__ import annotations

import errno
import platform
import struct


def _table(text: str) -> dict[str, int]:
    """Names and numbers of system calls, as written one after the other."""
    words = text.split()
    return {name: int(number) for name, number in zip(words[::2], words[1::2], strict=True)}


_X86_64 = _table(
    """
    ptrace 101  syslog 103  vhangup 153  pivot_root 155  acct 163  settimeofday 164  mount 165
    umount2 166  swapon 167  swapoff 168  reboot 169  sethostname 170  setdomainname 171
    iopl 172  ioperm 173  init_module 175  delete_module 176  quotactl 179  lookup_dcookie 212
    clock_settime 227  kexec_load 246  add_key 248  request_key 249  keyctl 250  unshare 272
    perf_event_open 298  open_by_handle_at 304  clock_adjtime 305  setns 308
    process_vm_readv 310  process_vm_writev 311  kcmp 312  finit_module 313
    kexec_file_load 320  bpf 321  userfaultfd 323  clone 56
    """
)
_GENERIC = _table(
    """
    lookup_dcookie 18  umount2 39  mount 40  pivot_root 41  vhangup 58  quotactl 60  acct 89
    unshare 97  kexec_load 104  init_module 105  delete_module 106  clock_settime 112
    syslog 116  ptrace 117  reboot 142  sethostname 161  setdomainname 162  settimeofday 170
    add_key 217  request_key 218  keyctl 219  swapon 224  swapoff 225  perf_event_open 241
    open_by_handle_at 265  clock_adjtime 266  setns 268  process_vm_readv 270
    process_vm_writev 271  kcmp 272  finit_module 273  bpf 280  userfaultfd 282
    kexec_file_load 294  clone 220
    """
)
_EVERYWHERE = _table(
    """
    io_uring_setup 425  io_uring_enter 426  io_uring_register 427  open_tree 428
    move_mount 429  fsopen 430  fsconfig 431  fsmount 432  fspick 433  clone3 435
    pidfd_getfd 438  mount_setattr 442  quotactl_fd 443
    """
)
_X86_64_ARCH = 0xC000003E
SYSCALLS = {
    "x86_64": (_X86_64_ARCH, _X86_64 | _EVERYWHERE),
    "aarch64": (0xC00000B7, _GENERIC | _EVERYWHERE),
}
"""For each machine: its AUDIT_ARCH value and the numbers of the calls named here."""

_NEW_NAMESPACES = 0x7E020000  # CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET
_LOAD, _JUMP_EQUAL, _JUMP_SET, _JUMP_GREATER_EQUAL, _RETURN = 0x20, 0x15, 0x45, 0x35, 0x06
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_NUMBER, _ARCH, _FIRST_ARGUMENT = 0, 4, 16  # offsets in struct seccomp_data
_X32 = 0x40000000
_Line = tuple[int, int, str, str]  # operation, value, label if true, label if not; "": the next


def program(machine: str = "") -> bytes | None:
    """The filter as an array of struct sock_filter; None for a machine that is not known.

    clone3 answers ENOSYS, for its flags cannot be read here and every libc then uses clone.
    """
    known = SYSCALLS.get(machine or platform.machine())
    if known is None:
        return None
    arch, numbers = known
    lines: list[_Line] = [
        (_LOAD, _ARCH, "", ""),
        (_JUMP_EQUAL, arch, "", "eperm"),
        (_LOAD, _NUMBER, "", ""),
    ]
    if arch == _X86_64_ARCH:
        lines.append((_JUMP_GREATER_EQUAL, _X32, "eperm", ""))
    for name, number in numbers.items():
        if name not in ("clone", "clone3"):
            lines.append((_JUMP_EQUAL, number, "eperm", ""))
    lines += [
        (_JUMP_EQUAL, numbers["clone3"], "enosys", ""),
        (_JUMP_EQUAL, numbers["clone"], "", "allow"),
        (_LOAD, _FIRST_ARGUMENT, "", ""),
        (_JUMP_SET, _NEW_NAMESPACES, "eperm", "allow"),
    ]
    returns = {
        "allow": _ALLOW,
        "eperm": _ERRNO | errno.EPERM,
        "enosys": _ERRNO | errno.ENOSYS,
    }
    place = {label: len(lines) + index for index, label in enumerate(returns)}
    code = b""
    for index, (operation, value, yes, no) in enumerate(lines):
        jumps = [place[label] - index - 1 if label else 0 for label in (yes, no)]
        code += struct.pack("<HBBI", operation, *jumps, value)
    for value in returns.values():
        code += struct.pack("<HBBI", _RETURN, 0, 0, value)
    return code
