#!/usr/bin/env python3
"""Starts a command with what a container takes away.

    confined.py docker COMMAND...     root with the capabilities and the filter that Docker gives by default
    confined.py pod COMMAND...        the ordinary user that calls it, with the same filter and no capability
    confined.py docker-bare COMMAND...    as docker, on a kernel without Landlock
    confined.py docker-barest COMMAND...  the same, without filters of processes' own and without tracing
    confined.py pod-bare COMMAND...       as pod, on a kernel without Landlock

The filter refuses what Docker's default profile refuses to a process without CAP_SYS_ADMIN: new namespaces and
mounts above all. It is not the whole profile: what build commands have no use for anyway is left out.
"""
import ctypes
import os
import platform
import struct
import sys

EPERM, ENOSYS = 1, 38

# Numbers of system calls: x86_64, aarch64.
CALLS = {
    'mount': (165, 40), 'umount2': (166, 39), 'pivot_root': (155, 41), 'setns': (308, 268),
    'unshare': (272, 97), 'clone': (56, 220), 'clone3': (435, 435), 'open_tree': (428, 428),
    'move_mount': (429, 429), 'fsopen': (430, 430), 'fsconfig': (431, 431), 'fsmount': (432, 432),
    'fspick': (433, 433), 'mount_setattr': (442, 442), 'bpf': (321, 280), 'perf_event_open': (298, 241),
    'keyctl': (250, 219), 'add_key': (248, 217), 'request_key': (249, 218), 'userfaultfd': (323, 282),
    'open_by_handle_at': (304, 265), 'kexec_load': (246, 104), 'reboot': (169, 142), 'swapon': (167, 224),
    'io_uring_setup': (425, 425),
}
# What a kernel does not have: Landlock, and then filters of processes' own and tracing.
LANDLOCK = {'landlock_create_ruleset': (444, 444), 'landlock_add_rule': (445, 445), 'landlock_restrict_self': (446, 446)}
SECCOMP = {'seccomp': (317, 277), 'ptrace': (101, 117)}
PRCTL, SET_SECCOMP, EINVAL = (157, 167), 22, 22
NAMESPACES = 0x7e020000
# Bits of Docker's default capabilities: chown, dac_override, fowner, fsetid, kill, setgid, setuid, setpcap,
# net_bind_service, net_raw, sys_chroot, mknod, audit_write, setfcap.
DOCKER = [0, 1, 3, 4, 5, 6, 7, 8, 10, 13, 18, 27, 29, 31]

libc = ctypes.CDLL(None, use_errno=True)


def prctl(*arguments):
    padded = [ctypes.c_ulong(a) for a in arguments[1:]] + [ctypes.c_ulong(0)] * (5 - len(arguments))
    if libc.prctl(arguments[0], *padded):
        raise OSError(ctypes.get_errno(), 'prctl %r' % (arguments,))


def keep_capabilities(bits):
    PR_CAPBSET_DROP, PR_CAP_AMBIENT, CLEAR_ALL = 24, 47, 4
    prctl(PR_CAP_AMBIENT, CLEAR_ALL)
    for bit in range(64):
        if bit not in bits and libc.prctl(23, bit, 0, 0, 0) >= 0:
            prctl(PR_CAPBSET_DROP, bit)
    mask = sum(1 << bit for bit in bits)
    header = struct.pack('Ii', 0x20080522, 0)
    low, high = mask & 0xffffffff, mask >> 32
    data = struct.pack('6I', low, low, 0, high, high, 0)
    number = 126 if platform.machine() == 'x86_64' else 91
    if libc.syscall(number, header, data):
        raise OSError(ctypes.get_errno(), 'capset')


def install_filter(absent, without_filters=False):
    x86 = platform.machine() == 'x86_64'
    column = 0 if x86 else 1
    load, jump, answer = 0x20, 0x15, 0x06
    refuse = 0x00050000
    program = [(load, 0, 0, 4), (jump, 1, 0, 0xc000003e if x86 else 0xc00000b7), (answer, 0, 0, 0x7fff0000),
               (load, 0, 0, 0)]
    for name, numbers in CALLS.items():
        number = numbers[column]
        if name == 'clone':
            # The flags decide.
            program += [(jump, 0, 4, number), (load, 0, 0, 16), (0x45, 0, 1, NAMESPACES),
                        (answer, 0, 0, refuse | EPERM), (answer, 0, 0, 0x7fff0000)]
        else:
            errno = ENOSYS if name == 'clone3' else EPERM
            program += [(jump, 0, 1, number), (answer, 0, 0, refuse | errno)]
    for numbers in absent.values():
        program += [(jump, 0, 1, numbers[column]), (answer, 0, 0, refuse | ENOSYS)]
    if without_filters:
        # The first argument says what is to be done.
        program += [(jump, 0, 3, PRCTL[column]), (load, 0, 0, 16), (jump, 0, 1, SET_SECCOMP),
                    (answer, 0, 0, refuse | EINVAL)]
    program.append((answer, 0, 0, 0x7fff0000))
    code = b''.join(struct.pack('HBBI', *line) for line in program)
    buffer = ctypes.create_string_buffer(code)
    head = struct.pack('HxxxxxxP', len(program), ctypes.addressof(buffer))
    # Whoever may administer the system needs no promise that nothing gains privileges, as in a container of root.
    if libc.prctl(22, 2, ctypes.c_char_p(head), 0, 0):
        prctl(38, 1, 0, 0, 0)
        if libc.prctl(22, 2, ctypes.c_char_p(head), 0, 0):
            raise OSError(ctypes.get_errno(), 'seccomp')


def main():
    mode, command = sys.argv[1], sys.argv[2:]
    if mode == 'docker':
        install_filter({})
        keep_capabilities(DOCKER)
    elif mode == 'docker-bare':
        install_filter(LANDLOCK)
        keep_capabilities(DOCKER)
    elif mode == 'docker-barest':
        install_filter({**LANDLOCK, **SECCOMP}, without_filters=True)
        keep_capabilities(DOCKER)
    elif mode in ('pod', 'pod-bare'):
        if os.getuid() == 0:
            sys.exit('confined.py: a pod of this kind has no root')
        install_filter(LANDLOCK if mode == 'pod-bare' else {})
    else:
        sys.exit('confined.py: docker, docker-bare, docker-barest, pod or pod-bare?')
    os.execvp(command[0], command)


main()
