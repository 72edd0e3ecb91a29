"""Read HDF5 and MATLAB files under limits of memory and time; utils/sandbox.py starts this file as a script.

python utils/sandbox_child.py hdf5 [MEMBER]     stdin: {path: seconds of CPU time}
python utils/sandbox_child.py mat               stdout: one line of JSON a path, null or the reason to refuse it
"""

import contextlib
import io
import json
import math
import sys
import time
import zipfile

import h5py
from scipy.io import loadmat

try:
    import resource
except ImportError:  # not a POSIX system: only the parent's timeout limits there
    resource = None

MAX_MEMORY = 2 * 2**30  # bytes
BLOCK = 2**24  # numbers read at once


def read_hdf5(path: str, member: str | None = None) -> None:
    """Read everything in an HDF5 file, or in an HDF5 member of a zip archive."""
    with contextlib.ExitStack() as stack:
        if member is not None:
            archive = stack.enter_context(zipfile.ZipFile(path))
            path = io.BytesIO(archive.read(member))
        _walk(stack.enter_context(h5py.File(path, "r")), set())


def read_mat(path: str, member: None = None) -> None:
    """Read a MATLAB v5 file."""
    loadmat(path)


READERS = {"hdf5": read_hdf5, "mat": read_mat}


def _walk(group: h5py.Group, seen: set) -> None:
    """Read all attributes, arrays and groups below a group; links to other files are not followed."""
    dict(group.attrs)
    for name in group:
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            continue
        member = group[name]
        address = h5py.h5o.get_info(member.id).addr
        if address in seen:
            continue
        seen.add(address)
        if isinstance(member, h5py.Group):
            _walk(member, seen)
        elif isinstance(member, h5py.Dataset):
            dict(member.attrs)
            if not member.external and not member.is_virtual:
                _read_array(member)


def _read_array(dataset: h5py.Dataset) -> None:
    """Read an array in blocks of rows."""
    if dataset.shape is None or not dataset.size or not dataset.id.get_storage_size():  # nothing of it is in the file
        return
    if not dataset.shape:
        dataset[()]
        return
    rows = max(1, BLOCK * len(dataset) // dataset.size)
    for start in range(0, len(dataset), rows):
        dataset[start : start + rows]


def main() -> None:
    """Read the files and print the answers."""
    kind, member = sys.argv[1], next(iter(sys.argv[2:]), None)
    if resource:
        resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY, MAX_MEMORY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for path, seconds in json.load(sys.stdin).items():
        if resource:
            limit = math.ceil(time.process_time() + seconds)
            resource.setrlimit(resource.RLIMIT_CPU, (limit, resource.RLIM_INFINITY))
        try:
            READERS[kind](path, member)
            reason = None
        except BaseException as error:  # any error is a reason to refuse the file
            reason = f"{type(error).__name__}: {error}"
        print(json.dumps(reason), flush=True)


if __name__ == "__main__":
    main()
