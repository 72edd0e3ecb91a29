"""Memory of this process, and worker processes that end with their parent."""

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
    """Keep freed memory in this process, up to 2 GiB; does nothing without glibc.

    Rendering allocates and frees arrays of some hundred kilobytes all the time. By default glibc maps many of them
    separately and returns them at once, and the system clears their pages again each time.
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    if mallopt is not None:
        mallopt(_MMAP_MAX, 0)
        mallopt(_TRIM_THRESHOLD, _KEPT)


def peak_memory() -> float:
    """Return the peak memory of this process in MiB."""
    status = Path("/proc/self/status")
    if status.exists():  # Linux, where getrusage includes the peak of the parent
        return int(re.search(r"VmHWM:\s*(\d+)", status.read_text()).group(1)) / 1024
    import resource  # exists on POSIX systems only

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def follow_parent() -> None:
    """Set up a worker process: it ignores Ctrl-C, which its parent handles, and ends when its parent ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def end_with_parent() -> None:
        multiprocessing.parent_process().join()
        os._exit(1)

    threading.Thread(target=end_with_parent, daemon=True).start()
