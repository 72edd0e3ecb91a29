"""The memory of a process: the most that it took, and how it deals with what it has freed."""

import ctypes
import multiprocessing
import os
import re
import signal
import sys
import threading
from pathlib import Path

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # names of mallopt's parameters in glibc's malloc.h
_KEPT = 2**31 - 1  # bytes, the most that mallopt takes


def keep_freed_memory() -> None:
    """Lets this process keep the memory that it frees, up to 2 GiB. Does nothing without glibc.

    Arrays of some hundred kilobytes come and go in rendering. glibc maps many of them
    apart and gives them back at once, and each time the system clears their pages anew.
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    if mallopt is not None:
        mallopt(_MMAP_MAX, 0)
        mallopt(_TRIM_THRESHOLD, _KEPT)


def peak_memory() -> float:
    """The most memory this process has held since it began, in MiB."""
    status = Path("/proc/self/status")
    if status.exists():  # Linux, where getrusage would begin with the memory of the parent
        return int(re.search(r"VmHWM:\s*(\d+)", status.read_text()).group(1)) / 1024
    import resource  # POSIX alone has it

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def follow_parent() -> None:
    """Called in the new process: Ctrl-C is the parent's business, and there is no life after the parent's death."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def end_with_parent() -> None:
        multiprocessing.parent_process().join()
        os._exit(1)

    threading.Thread(target=end_with_parent, daemon=True).start()
