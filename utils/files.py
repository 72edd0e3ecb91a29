"""Files that are whole or not there, written beside and renamed; folders that one program at a time may write to."""

import contextlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

try:
    import fcntl
except ImportError:  # not a POSIX system: folders are not locked there
    fcntl = None


def replace_file(path: str | os.PathLike, write: Callable[[Path], None]) -> None:
    """Lets `write(beside)` write a file beside `path`, with the same suffix, and renames it to `path`.

    If writing fails (a full disk, say) the old file stays as it was and the half-written one is removed.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.stem}.part{path.suffix}")
    try:
        write(beside)
        os.replace(beside, path)
    except OSError as error:
        error.filename = error.filename or str(path)  # a full disk does not say which file it was
        raise
    finally:
        beside.unlink(missing_ok=True)


def write_texts(texts: dict[Path, str]) -> None:
    """Writes UTF-8 files that belong together: all beside their places first, so that a full disk changes none of them.

    They are renamed in the order given; the last one should be the one that makes the others valid.
    """
    beside = {path: path.with_name(f".{path.name}.part") for path in texts}
    try:
        for path, text in texts.items():
            beside[path].write_text(text, encoding="utf-8")
        for path in texts:
            os.replace(beside[path], path)
    finally:
        for path in beside.values():
            path.unlink(missing_ok=True)


def write_text(path: str | os.PathLike, text: str) -> None:
    """Writes one UTF-8 file, whole or not at all."""
    replace_file(path, lambda beside: beside.write_text(text, encoding="utf-8"))


def write_json(path: str | os.PathLike, value, indent: int | None = 2) -> None:
    """Writes JSON, whole or not at all; numbers that are not finite are an error, since JSON has none."""
    write_text(path, json.dumps(value, indent=indent, allow_nan=False) + "\n")


@contextlib.contextmanager
def folder_lock(folder: str | os.PathLike, busy: str | None = None) -> Iterator[None]:
    """Holds a folder for one program; the system lets go of it when the program ends, however it ends.

    Args:
        busy: what another program is doing there, for the error; where None, waits until it has done.

    Raises:
        BlockingIOError: another program holds the folder.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".lock", "w") as file:
        if fcntl:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | (fcntl.LOCK_NB if busy else 0))
            except BlockingIOError:
                raise BlockingIOError(f"{busy} {folder} already; wait for it, or take another folder") from None
        yield
