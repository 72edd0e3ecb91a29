"""Atomic files, written to a temporary path and renamed; locks on folders."""

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

try:
    import fcntl
except ImportError:  # not a POSIX system: folders are not locked there
    fcntl = None


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike) -> Iterator[Path]:
    """Yield a temporary path in the folder of `path`, with the same suffix, and rename it to `path` in the end.

    If the body fails (on a full disk, say) the old file stays as it was, and the temporary file is removed.

        with atomic_write("landmarks.npy") as temporary:
            np.save(temporary, landmarks)
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.part{path.suffix}")
    try:
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        error.filename = error.filename or str(path)  # the error of a full disk names no file
        raise
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: str | os.PathLike, text: str) -> None:
    """Write a UTF-8 file atomically."""
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | os.PathLike, value, indent: int | None = 2) -> None:
    """Write a JSON file atomically; NaN and infinity are errors, because JSON has no such numbers."""
    write_text(path, json.dumps(value, indent=indent, allow_nan=False) + "\n")


def write_texts(texts: dict[Path, str]) -> None:
    """Write UTF-8 files that belong together: all to temporary paths first, so that a full disk changes none of them.

    Args:
        texts: path -> content. Files are renamed in this order; the last one should make the others valid.
    """
    temporary = {path: path.with_name(f".{path.name}.part") for path in texts}
    try:
        for path, text in texts.items():
            temporary[path].write_text(text, encoding="utf-8")
        for path in texts:
            os.replace(temporary[path], path)
    finally:
        for path in temporary.values():
            path.unlink(missing_ok=True)


@contextlib.contextmanager
def folder_lock(folder: str | os.PathLike, busy: str | None = None) -> Iterator[None]:
    """Lock a folder for one program; the system releases it when the program ends, however it ends.

    Args:
        folder: created if it does not exist.
        busy: what another program does there, for the error; None waits for the other program.

    Raises:
        BlockingIOError: another program holds the lock, and `busy` is given.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".lock", "w") as file:
        if fcntl:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | (fcntl.LOCK_NB if busy else 0))
            except BlockingIOError:
                raise BlockingIOError(f"{busy} {folder} already; wait for it, or use another folder") from None
        yield
