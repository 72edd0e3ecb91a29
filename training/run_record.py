"""The record of a run: its settings, versions and commit, kept beside its weights and compared when it is resumed."""

import json
import os
import platform
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np

from config import SETTINGS_FILE, STATE_FILE
from face_datasets.catalogue import get_dataset
from utils.files import write_json

KEYS = ("settings", "versions", "commit", "training", "validation", "faces")


class RunRecord:
    """The content of a run's settings.json.

    Args:
        folder: where this process writes it.
        content: see `open_run`.

    Attributes:
        path, content.
    """

    def __init__(self, folder: Path, content: dict):
        self.path, self.content = folder / SETTINGS_FILE, content
        self._begun = None

    def begin(self, faces: dict) -> None:
        """Record the faces of a new run, or compare them with those of a resumed one, and start the clock.

        Args:
            faces: fingerprints of "train" and "validation", and what else of the data decides the run.

        Raises:
            ValueError: the resumed run had other faces.
        """
        self._begun = time.monotonic() - self.content["training"]["seconds"]
        if "faces" not in self.content:
            self.content["faces"] = faces
            self.write()
        elif self.content["faces"] != faces:
            raise ValueError(
                f"cannot resume {self.path.parent} with other faces or labels. Received {faces}; "
                f"the run has {self.content['faces']}"
            )

    def write(self, best: dict | None = None) -> None:
        """Write the record with the time of training so far.

        Args:
            best: row of the log of an epoch whose validation NME is the lowest so far.
        """
        if best:
            self.content["validation"] = {
                "nme": best["val_nme"],
                "normaliser": get_dataset(self.content["settings"]["dataset"]).normaliser,
                "n": self.content["faces"]["validation"]["n"],
                "epoch": best["epoch"],
            }
        self.content["training"]["seconds"] = round(time.monotonic() - self._begun, 1)
        write_json(self.path, self.content)


def open_run(folder: Path, settings: dict, resumed: Path | None = None) -> RunRecord:
    """Return the record of a new run, or of one that is resumed.

    Args:
        folder: where this process writes the run.
        settings: of the run, as JSON.
        resumed: folder of the run that is resumed; None begins a new one.

    Returns:
        The record, its content "settings", "versions", "commit", "training" ("command", "machine" and "seconds" so
        far), "validation" (the best figures so far, None before the first epoch), and of a resumed run "faces".

    Raises:
        FileExistsError: the folder holds a run, and none is resumed.
        FileNotFoundError: there is nothing to resume.
        ValueError: the resumed run has other settings, or its record is broken.
    """
    found = resumed or folder
    exists = (found / STATE_FILE).is_file() and (found / SETTINGS_FILE).is_file()
    if resumed and not exists:
        raise FileNotFoundError(f"nothing to resume. Received {found}, which holds no {STATE_FILE} of a run")
    if exists and not resumed:
        raise FileExistsError(f"{found} holds a run. Resume it with --resume, or use another --save-path")
    if not resumed:
        training = {"command": shlex.join(["python", *sys.argv]), "machine": _machine(), "seconds": 0.0}
        content = {"settings": settings, "versions": _versions(), "commit": _commit(), "training": training}
        return RunRecord(folder, content | {"validation": None})
    record = read_record(found / SETTINGS_FILE)
    missing = [name for name in KEYS if name not in record]
    if missing:
        raise ValueError(f"cannot resume {found}: its {SETTINGS_FILE} has no {', '.join(missing)}")
    stored = record["settings"]
    different = different_settings(stored, settings)
    if different:
        raise ValueError(
            f"cannot resume {found} with other settings. "
            f"Received { {name: settings.get(name) for name in different} }; "
            f"the run has { {name: stored.get(name) for name in different} }"
        )
    return RunRecord(folder, record)


def read_record(file: Path) -> dict:
    """Return the record of a run from its settings.json.

    Raises:
        ValueError: the file is no record.
    """
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
        dict(record["settings"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"{file} is not the record of a run. Received {error!r}") from error
    return record


def different_settings(stored: dict, settings: dict) -> list[str]:
    """Return the names of the settings in which two runs differ."""
    names = dict.fromkeys([*settings, *stored])
    return [name for name in names if stored.get(name) != settings.get(name)]


def free_folder(parent: str | os.PathLike, name: str) -> Path:
    """Return parent/name, with a number appended if that holds a run."""
    number, folder = 1, Path(parent) / name
    while (folder / STATE_FILE).exists():
        number += 1
        folder = Path(parent) / f"{name}_{number}"
    return folder


def _versions() -> dict[str, str]:
    """Return the versions of Python, Keras, NumPy and the backend."""
    backend = keras.backend.backend()
    versions = {"python": platform.python_version(), "keras": keras.__version__, "numpy": np.__version__}
    return {**versions, backend: sys.modules[backend].__version__}


def _machine() -> dict:
    """Return the machine: "cores", "processor", and "gpu", the first one's name or None."""
    processors = Path("/proc/cpuinfo")
    text = processors.read_text(encoding="utf-8") if processors.is_file() else ""
    model = re.search(r"model name\s*: (.+)", text)
    return {"cores": os.cpu_count(), "processor": model.group(1) if model else platform.machine(), "gpu": _gpu()}


def _gpu() -> str | None:
    """Return the name of the backend's first GPU."""
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        first = jax.devices()[0]
        return first.device_kind if first.platform == "gpu" else None
    if backend == "torch":
        import torch

        return torch.cuda.get_device_name() if torch.cuda.is_available() else None
    import tensorflow as tf

    found = tf.config.list_physical_devices("GPU")
    return tf.config.experimental.get_device_details(found[0]).get("device_name") if found else None


def _commit() -> str | None:
    """Return the commit of this checkout, with a plus sign if files differ from it; None outside git."""

    def git(*words: str) -> str:
        command = ["git", "-C", str(Path(__file__).parent), *words]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        return git("rev-parse", "HEAD") + ("+" if git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.CalledProcessError):
        return None
