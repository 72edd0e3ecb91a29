"""Files that only C libraries can read, HDF5 and MATLAB's: tried in a process of their own first.

A damaged file can crash these libraries, let them run for ever or take all memory, and no exception says so. So another
process reads the whole file first, under limits; when it dies, the file is refused and this process lives. Nothing but
a line of JSON comes back. Started as a script this file is that other process.
"""

import atexit
import io
import json
import math
import os
import queue
import subprocess
import sys
import threading
import time
import zipfile
from pathlib import Path

MAX_TRIAL_SECONDS = 4.0  # seconds of the processor, and one more for every 100 MB of the file
PATIENCE = 20  # times as long it may take where other programs hold the machine
MAX_TRIAL_SIZE = 2 * 2**30  # bytes of memory of the other process
BLOCK = 2**24  # numbers read at once
_STARTED = 120.0  # seconds until the other process must be there


def try_hdf5(path: str | os.PathLike, member: str | None = None) -> None:
    """Reads all of an HDF5 file, or of the one in a zip archive, in the other process.

    Raises:
        ValueError: the file cannot be read, or reading it crashes, hangs or takes too much memory.
        OSError: there is no file, or the other process could not be started.
    """
    _try("hdf5", path, member)


def try_mat(path: str | os.PathLike) -> None:
    """Reads a MATLAB v5 file in the other process.

    Raises:
        ValueError, OSError: as `try_hdf5`.
    """
    _try("mat", path)


class _Reader:
    """The other process: started when it is first needed, ended with this one, replaced when it dies."""

    def __init__(self):
        self.lock, self.process = threading.Lock(), None

    def ask(self, request: dict, seconds: float) -> dict | None:
        """Its answer, or None where it died or was too slow.

        Raises:
            OSError: it could not be started.
        """
        with self.lock:
            if self.process is None:
                self._start()
            try:
                self.process.stdin.write(json.dumps(request) + "\n")
                self.process.stdin.flush()
                answer = self.answers.get(timeout=seconds)
            except (BrokenPipeError, queue.Empty):
                answer = None
            if answer is None:
                self.end()
            return answer

    def _start(self) -> None:
        command = [sys.executable, str(Path(__file__).resolve())]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        self.answers = queue.Queue()
        threading.Thread(target=_listen, args=(self.process.stdout, self.answers), daemon=True).start()
        try:
            greeting = self.answers.get(timeout=_STARTED)
        except queue.Empty:
            greeting = None
        if greeting is None:
            self.end()  # or its greeting, coming late, would be taken for the answer of the first file
            raise OSError(f"the process that tries files could not be started within {_STARTED:g} s")

    def end(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


def _listen(stream, answers: queue.Queue) -> None:
    """Puts every line of JSON into the queue, and None at the end."""
    for line in stream:
        answers.put(json.loads(line))
    answers.put(None)


_READER = _Reader()
atexit.register(_READER.end)


def _try(kind: str, path: str | os.PathLike, member: str | None = None) -> None:
    seconds = MAX_TRIAL_SECONDS + os.path.getsize(path) / 1e8
    request = {"kind": kind, "path": os.path.abspath(path), "member": member, "seconds": seconds}
    answer = _READER.ask(request, PATIENCE * seconds)
    if answer is None:
        raise ValueError(f"it is damaged so that reading it crashes or takes more than {seconds:.0f} s")
    if "error" in answer:
        raise ValueError(answer["error"])


# --------------------------------------------------------------------------------------------------------------------
# The other process
# --------------------------------------------------------------------------------------------------------------------


def _read_hdf5(path: str, member: str | None) -> None:
    import h5py

    if member is None:
        with h5py.File(path, "r") as file:
            _walk(file, set())
        return
    with zipfile.ZipFile(path) as archive, h5py.File(io.BytesIO(archive.read(member)), "r") as file:
        _walk(file, set())


def _walk(group, seen: set) -> None:
    """Reads everything below a group: attributes, arrays block by block, members; links elsewhere are not followed."""
    import h5py

    dict(group.attrs)
    for name in group:
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            continue
        member = group[name]
        identity = h5py.h5o.get_info(member.id).addr
        if identity in seen:
            continue
        seen.add(identity)
        if isinstance(member, h5py.Group):
            _walk(member, seen)
        elif isinstance(member, h5py.Dataset):
            dict(member.attrs)
            if not member.external and not member.is_virtual:
                _read_array(member)


def _read_array(dataset) -> None:
    if dataset.shape is None or not dataset.size or not dataset.id.get_storage_size():  # nothing of it is in the file
        return
    if not dataset.shape:
        dataset[()]
        return
    rows = max(1, BLOCK * len(dataset) // dataset.size)
    for start in range(0, len(dataset), rows):
        dataset[start : start + rows]


def _read_mat(path: str, member: None) -> None:
    from scipy.io import loadmat

    loadmat(path)


def _serve() -> None:
    """Answers every request with one line, until the other side ends."""
    import h5py  # noqa: F401  loaded before memory is limited
    import scipy.io  # noqa: F401

    try:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MAX_TRIAL_SIZE, MAX_TRIAL_SIZE))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    except ImportError:  # not a POSIX system: patience alone is limited there
        resource = None
    readers = {"hdf5": _read_hdf5, "mat": _read_mat}
    print("{}", flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        if resource:
            used = time.process_time() + request["seconds"]
            resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(used), resource.RLIM_INFINITY))
        try:
            readers[request["kind"]](request["path"], request["member"])
            answer = {}
        except BaseException as error:  # whatever it is, it says why the file is no good
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    _serve()
