"""Runs one command and prints what it took as JSON: seconds of wall and of processor time, bytes of memory at its peak.

It is a process of its own because the kernel counts the memory of whoever starts a program as that program's.
"""

import json
import os
import sys
import time

if __name__ == "__main__":
    started = time.monotonic()
    child = os.posix_spawnp(sys.argv[1], sys.argv[1:], os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, 2, 1)])
    _, status, usage = os.wait4(child, 0)
    took = {"code": os.waitstatus_to_exitcode(status), "wall": time.monotonic() - started}
    took |= {"cpu": usage.ru_utime + usage.ru_stime, "memory": usage.ru_maxrss * 1024}
    print(json.dumps(took), flush=True)
