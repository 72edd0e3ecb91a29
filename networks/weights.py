"""Files of weights: finding them, opening them, and reading the settings beside them."""

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
LEGACY_CROP = "tight"  # of the original's .h5 files, which have no settings
LEGACY_SETTINGS = {"method": "l2", "crop": LEGACY_CROP}
LEGACY_FOLDER = "ACRLoss"  # the original keeps its weights below this folder; ours may omit it
MAX_REASON_LENGTH = 500  # characters of an error that a broken file causes; Keras prints whole configurations


def load_model(path) -> "keras.Model":
    """Open a weights file: `.keras`, or a complete model in an `.h5` file of Keras 2. Code in a file is never executed.

    Returns:
        The model, not compiled.

    Raises:
        FileNotFoundError: no such file; the message lists the weights files near it.
        ValueError: the file is not a weights file, is damaged, or contains an unknown class.
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
    """Return the weights file that `path` means.

    It is the path itself, or else the same path with or without the folder `ACRLoss`, or else, with a warning, the
    `.keras` file of the same stem.

    Raises:
        FileNotFoundError: none of them exists; the message lists the weights files near it.
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


def _spellings(path: Path) -> list[Path]:
    """Return the path and the path with or without the folder `ACRLoss`; relative ones below ROOT, too."""
    parts = path.parts
    if LEGACY_FOLDER in parts:
        spellings = [path, Path(*(part for part in parts if part != LEGACY_FOLDER))]
    else:
        positions = range(bool(path.anchor), len(parts))
        spellings = [path, *(Path(*parts[:i], LEGACY_FOLDER, *parts[i:]) for i in positions)]
    return spellings + [ROOT / spelling for spelling in spellings if not path.is_absolute()]


def _weights_near(path: Path) -> str:
    """Return a phrase with the weights files in WEIGHTS_DIR and in the nearest existing folder, three levels deep."""
    near = next((folder for folder in (path, *path.parents) if folder.is_dir()), Path())
    files = list(WEIGHTS_DIR.rglob("*"))
    if near != Path(near.anchor):
        files += [file for pattern in ("*", "*/*", "*/*/*") for file in near.glob(pattern)]
    suffixes = (".keras", *LEGACY_SUFFIXES, *EXPORT_SUFFIXES.values())
    found = sorted({str(file) for file in files if file.suffix in suffixes})
    return f"there are: {', '.join(found)}" if found else f"there are none in {near} and {WEIGHTS_DIR}"


def get_settings(path) -> dict:
    """Return how a weights file was trained: the "settings" that train.py wrote, with "method", "crop" and more.

    They are read from X.json beside the file X.keras or X.h5, or else, for a .keras file, from settings.json in its
    folder. An .h5 file without X.json is the original's, with `LEGACY_SETTINGS`, which has "method" and "crop" only.
    The settings of a .keras file without either are unknown, and the dict is empty.

    Raises:
        FileNotFoundError: no such weights file.
        ValueError: the JSON is broken, or names an unknown crop.
    """
    weights = find_weights(path)
    file = find_record(weights)
    if file is None:
        return dict(LEGACY_SETTINGS) if weights.suffix in LEGACY_SUFFIXES else {}
    return parse_settings(file.read_bytes(), file)


def find_record(weights: Path) -> Path | None:
    """Return the JSON file with the settings of a weights file, see `get_settings`; None if it does not exist."""
    candidates = [weights.with_suffix(".json")]
    if weights.suffix not in LEGACY_SUFFIXES:
        candidates.append(weights.parent / SETTINGS_FILE)
    return next((candidate for candidate in candidates if candidate.is_file()), None)


def parse_settings(record: str | bytes, source: str | os.PathLike) -> dict:
    """Return the "settings" of a run's record.

    Args:
        record: the JSON text.
        source: where it comes from, for errors.

    Raises:
        ValueError: the JSON is broken, or names an unknown crop.
    """
    try:
        settings = json.loads(record)["settings"]
        method, crop = settings["method"], settings["crop"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        expected = '{"settings": {"method": ..., "crop": ..., ...}}'
        raise ValueError(f"{source}: cannot be read as settings. Received {error!r}; expected {expected}") from error
    if not isinstance(method, str) or not isinstance(crop, str) or crop not in CROPS:
        raise ValueError(f"{source}: unknown method or crop. Received {method!r}, {crop!r}; crops: {list(CROPS)}")
    return settings
