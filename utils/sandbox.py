"""Validation of HDF5 and MATLAB files in a sandboxed process.

A damaged file can crash the C libraries that read these formats, make them run forever or take all memory; Python sees
no exception. So utils/sandbox_child.py first reads the file in a process of its own, under limits. If that process
dies, the file is refused.
"""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

CHILD = Path(__file__).with_name("sandbox_child.py")
MIN_SECONDS = 4.0  # of CPU time for one file, and 1 s more for every 100 MB
PATIENCE = 20  # wall time over CPU time, on a machine that is busy with other programs


def check_hdf5(path: str | os.PathLike, member: str | None = None) -> None:
    """Read an HDF5 file in the sandbox, or the HDF5 member of a zip archive.

    Raises:
        ValueError: the file cannot be read, or reading it crashes, hangs or takes too much memory.
        OSError: there is no file, or the sandbox does not start.
    """
    for reason in find_damaged("hdf5", [path], member).values():
        raise ValueError(reason)


def check_mat(path: str | os.PathLike) -> None:
    """Read a MATLAB v5 file in the sandbox.

    Raises:
        ValueError, OSError: as `check_hdf5`.
    """
    for reason in find_damaged("mat", [path]).values():
        raise ValueError(reason)


def find_damaged(kind: str, paths: Sequence[str | os.PathLike], member: str | None = None) -> dict[Path, str]:
    """Read many files in the sandbox, in one process as long as none of them crashes it.

    Args:
        kind: "hdf5" or "mat".
        paths: the files.
        member: name of the HDF5 file inside each zip archive; None where the files are HDF5 themselves.

    Returns:
        damaged file -> reason.

    Raises:
        OSError: a file does not exist, or the sandbox does not start.
    """
    damaged, remaining = {}, list(dict.fromkeys(paths))
    while remaining:
        answers = _read(kind, {path: MIN_SECONDS + os.path.getsize(path) / 1e8 for path in remaining}, member)
        damaged |= {Path(path): reason for path, reason in zip(remaining, answers, strict=False) if reason}
        remaining = remaining[len(answers) :]
        if remaining:  # the process did not survive the next one
            damaged[Path(remaining.pop(0))] = "it is damaged so that reading it crashes or takes too long"
    return damaged


def _read(kind: str, seconds: dict[str | os.PathLike, float], member: str | None) -> list[str | None]:
    """Run the child once; return its answers up to the file that ended it."""
    command = [sys.executable, str(CHILD), kind, *([member] if member else [])]
    request = json.dumps({os.path.abspath(path): limit for path, limit in seconds.items()}).encode()
    try:
        child = subprocess.run(command, input=request, capture_output=True, timeout=PATIENCE * sum(seconds.values()))
    except subprocess.TimeoutExpired as error:
        return [json.loads(line) for line in (error.stdout or b"").splitlines()]
    if child.returncode > 0:  # a crash or a limit gives a negative one
        raise OSError(f"the sandbox failed: {child.stderr.decode(errors='replace').strip()}")
    return [json.loads(line) for line in child.stdout.splitlines()]
