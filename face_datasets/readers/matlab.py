"""MATLAB files: v7.3 ones are HDF5, older ones are read by SciPy; both are tried in another process first."""

import functools
from pathlib import Path

from utils.sandbox import try_hdf5, try_mat


def open_mat(path: Path):
    """A MATLAB v7.3 file, open for reading; the caller closes it."""
    import h5py

    status = path.stat()
    try:
        _try_once(path, status.st_size, status.st_mtime_ns)
        return h5py.File(path, "r")
    except (OSError, ValueError) as error:
        size = f"Received {status.st_size} bytes"
        raise ValueError(f"{path} is no whole MATLAB v7.3 (HDF5) file. {size}; {error}") from error


@functools.lru_cache(maxsize=1)
def _try_once(path: Path, size: int, changed: int) -> None:
    """Tries a file of many pictures once, and not again for each of them."""
    try_hdf5(path)


def load_old_mat(path: Path) -> dict:
    """The variables of a MATLAB v5 file."""
    from scipy.io import loadmat

    try:
        try_mat(path)
        return loadmat(path)
    except FileNotFoundError:
        raise ValueError("no such file; every test picture has one") from None
    except Exception as error:  # scipy lets whatever goes wrong in a damaged file through
        raise ValueError(f"no MATLAB v5 file ({error})") from error
