"""MATLAB files: v7.3 is HDF5, v5 is read by SciPy; both are validated in a sandboxed process first."""

import functools
from collections.abc import Sequence
from pathlib import Path

from utils.sandbox import check_hdf5, check_mat, find_damaged


def open_mat(path: Path):
    """Open a MATLAB v7.3 file for reading; the caller closes it.

    Raises:
        ValueError: the file is damaged or of another format.
    """
    import h5py

    status = path.stat()
    try:
        _check_once(path, status.st_size, status.st_mtime_ns)
        return h5py.File(path, "r")
    except (OSError, ValueError) as error:
        size = f"Received {status.st_size} bytes"
        raise ValueError(f"{path} is not a valid MATLAB v7.3 (HDF5) file. {size}; {error}") from error


@functools.lru_cache(maxsize=1)
def _check_once(path: Path, size: int, changed: int) -> None:
    """Check a file of many pictures once, and not again for every picture."""
    check_hdf5(path)


def load_mat(path: Path) -> dict:
    """Return the variables of a MATLAB v5 file.

    Raises:
        ValueError: there is no such file, or it is damaged or of another format.
    """
    try:
        check_mat(path)
    except (OSError, ValueError) as error:
        raise _refused(path, error) from error
    return load_checked_mat(path)


def find_damaged_mats(paths: Sequence[Path]) -> dict[Path, str]:
    """Check many MATLAB v5 files at once; files that do not exist are passed over.

    Returns:
        damaged file -> reason.
    """
    damaged = find_damaged("mat", [path for path in paths if path.is_file()])
    return {path: str(_refused(path, reason)) for path, reason in damaged.items()}


def load_checked_mat(path: Path) -> dict:
    """Return the variables of a MATLAB v5 file that was checked; errors as of `load_mat`."""
    from scipy.io import loadmat

    try:
        return loadmat(path)
    except Exception as error:  # SciPy raises errors of many kinds on a damaged file
        raise _refused(path, error) from error


def _refused(path: Path, reason: Exception | str) -> ValueError:
    """Return the error of a MATLAB v5 file."""
    if not path.is_file():
        return ValueError("no such file; every test picture has one")
    return ValueError(f"not a valid MATLAB v5 file ({reason})")
