"""Files of weights: found by the spellings that users know, opened, and read with the settings beside them."""

import json
import os
import textwrap
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from config import CROPS, EXPORT_SUFFIXES, ROOT, SETTINGS_FILE, WEIGHTS_DIR

if TYPE_CHECKING:
    import keras

LEGACY_SUFFIXES = (".h5", ".hdf5")
LEGACY_CROP = "tight"  # what an old .h5 file, which says nothing, is read with
LEGACY_SETTINGS = {"method": "l2", "crop": LEGACY_CROP}
LEGACY_FOLDER = "ACRLoss"  # the original keeps its weights below this folder; ours lie with or without it
MAX_REASON_LENGTH = 500  # characters of an error that a broken file causes; Keras prints whole configurations


def load_model(path) -> "keras.Model":
    """Open a weights file: `.keras`, or a complete model in an `.h5` file of Keras 2. Code in a file is never executed.

    Returns:
        The model, not compiled.

    Raises:
        FileNotFoundError: no such file; the message lists the weights files near it.
        ValueError: the file is no weights file, is damaged, or contains an unknown class.
    """
    path = find_weights(path)
    if path.suffix not in (".keras", *LEGACY_SUFFIXES):
        raise ValueError(f"{path}: unknown kind of weights file. Received {path.suffix!r}; expected .keras or .h5")
    from networks.keras_file import read_keras  # imports Keras
    from networks.legacy_h5 import read_legacy_h5

    try:
        return read_keras(path) if path.suffix == ".keras" else read_legacy_h5(path)
    except Exception as error:  # a broken file can make h5py, zipfile, json or Keras raise anything
        reason = str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
        reason = textwrap.shorten(reason, MAX_REASON_LENGTH)  # one line
        raise ValueError(f"{path}: cannot be read as a model: {reason}") from error


def find_weights(path) -> Path:
    """The weights file that `path` means.

    The path itself, or else the same path with or without the folder `ACRLoss`, or else, with a warning that says so,
    the `.keras` file of the same stem.

    Raises:
        FileNotFoundError: none of them exists; the message lists the weights files there are.
    """
    path = Path(path)
    spellings = _spellings(path)
    for spelling in spellings:
        if spelling.is_file():
            return spelling
    if path.suffix in LEGACY_SUFFIXES:
        for spelling in spellings:
            converted = spelling.with_suffix(".keras")
            if converted.is_file():
                warnings.warn(f"{path} does not exist; {converted} is read instead", stacklevel=2)
                return converted
    raise FileNotFoundError(f"{path}: no such weights file; {_weights_near(path)}")


def _spellings(path) -> list[Path]:
    """The path, and the path with or without the folder `ACRLoss`; relative ones below the repository's folder too."""
    parts = path.parts
    if LEGACY_FOLDER in parts:
        spellings = [path, Path(*(part for part in parts if part != LEGACY_FOLDER))]
    else:
        places = range(bool(path.anchor), len(parts))
        spellings = [path, *(Path(*parts[:i], LEGACY_FOLDER, *parts[i:]) for i in places)]
    return spellings + [ROOT / spelling for spelling in spellings if not path.is_absolute()]


def _weights_near(path) -> str:
    """The weights files in the nearest folder that exists, three levels deep, and in the project's own, as a phrase."""
    near = next((folder for folder in (path, *path.parents) if folder.is_dir()), Path())
    files = list(Path(WEIGHTS_DIR).rglob("*"))
    if near != Path(near.anchor):
        files += [file for pattern in ("*", "*/*", "*/*/*") for file in near.glob(pattern)]
    suffixes = (".keras", *LEGACY_SUFFIXES, *EXPORT_SUFFIXES.values())
    found = sorted({str(file) for file in files if file.suffix in suffixes})
    return f"there are: {', '.join(found)}" if found else f"there are none in {near} and {WEIGHTS_DIR}"


def settings_of(path) -> dict:
    """How a weights file was trained: the "settings" that train.py wrote, with "method", "crop" and more.

    X.json beside the file X.keras or X.h5 holds them, or else, for a .keras file, settings.json in its folder. An .h5
    file without one is the original's: `LEGACY_SETTINGS`, where only "method" and "crop" are known. Of a .keras file
    without either nothing is known, and the dict is empty.

    Raises:
        FileNotFoundError: no such weights file.
        ValueError: the JSON is broken, or names no crop that is known.
    """
    weights = find_weights(path)
    file = record_of(weights)
    if file is None:
        return dict(LEGACY_SETTINGS) if weights.suffix in LEGACY_SUFFIXES else {}
    return parse_settings(file.read_bytes(), file)


def record_of(weights: Path) -> Path | None:
    """The JSON file that says how a weights file was trained, see `settings_of`; None where there is none."""
    beside = [weights.with_suffix(".json")]
    if weights.suffix not in LEGACY_SUFFIXES:
        beside.append(weights.parent / SETTINGS_FILE)
    return next((candidate for candidate in beside if candidate.is_file()), None)


def parse_settings(record: str | bytes, source: str | os.PathLike) -> dict:
    """The "settings" of a run's record, JSON text that came from `source`.

    Raises:
        ValueError: the JSON is broken, or names no crop that is known.
    """
    try:
        settings = json.loads(record)["settings"]
        method, crop = settings["method"], settings["crop"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        right = '{"settings": {"method": ..., "crop": ..., ...}}'
        raise ValueError(f"{source}: cannot be read as settings. Received {error!r}; {right} is right") from error
    if not isinstance(method, str) or not isinstance(crop, str) or crop not in CROPS:
        raise ValueError(f"{source}: unknown method or crop. Received {method!r}, {crop!r}; crops: {list(CROPS)}")
    return settings
