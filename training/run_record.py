"""What a run was: its settings, versions and commit, kept beside its weights and held against a run that goes on."""

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


class RunRecord:
    """What settings.json says of a run, and when it is written.

    Args:
        folder: where this process writes it. content: see `open_run`.

    Attributes:
        path, content.
    """

    def __init__(self, folder: Path, content: dict):
        self.path, self.content = folder / SETTINGS_FILE, content
        self._begun = None

    def begin(self, faces: dict) -> None:
        """Says what a run is shown, or holds it against what a run that goes on was shown; its time counts from now on.

        Args:
            faces: fingerprints of "train" and "validation", and what else decides a run beside its settings.

        Raises:
            ValueError: the run that goes on had other faces.
        """
        self._begun = time.monotonic() - self.content["training"]["seconds"]
        if "faces" not in self.content:
            self.content["faces"] = faces
            self.keep()
            return
        stored, self.content["faces"] = self.content["faces"], faces
        if "labels" in faces and isinstance(stored, dict):
            stored = {"labels": faces["labels"], **stored}  # older versions did not keep them
        if stored != faces:
            raise ValueError(
                f"cannot resume {self.path.parent} with other faces or labels. Received {faces}; the run has {stored}"
            )

    def keep(self, best: dict | None = None) -> None:
        """Writes the record, with the time of training so far.

        Args:
            best: the row of the log of an epoch whose validation NME is the lowest so far.
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


def open_run(folder: Path, settings: dict, goes_on: Path | None = None) -> RunRecord:
    """The record of a run: of a new one, or of one that is to go on.

    Args:
        folder: where this process writes the run. settings: everything that was resolved for it.
        goes_on: the folder of the run that goes on.

    Returns:
        The record, its content "settings", "versions", "commit", "training" ("command", "machine" and "seconds" so
        far), and "validation": the best figures so far, None before the first epoch; of a run that goes on "faces" too.

    Raises:
        FileExistsError: the folder holds a run already, and none is to go on.
        FileNotFoundError: there is nothing to resume.
        ValueError: the run that is to go on has other settings.
    """
    found = goes_on or folder
    file = found / SETTINGS_FILE
    there = (found / STATE_FILE).is_file() and file.is_file()
    if goes_on and not there:
        raise FileNotFoundError(f"nothing to resume. Received {found}, which holds no {STATE_FILE} of a run")
    if there and not goes_on:
        raise FileExistsError(f"{found} holds a run already. Go on with --resume, or take another --save-path")
    if not goes_on:
        training = {"command": shlex.join(["python", *sys.argv]), "machine": _machine(), "seconds": 0.0}
        content = {"settings": settings, "versions": _versions(), "commit": _commit(), "training": training}
        return RunRecord(folder, content | {"validation": None})
    record = read_record(file)
    if not {"training", "faces", "validation"} <= record.keys():
        raise ValueError(
            f"cannot resume {found}: its {SETTINGS_FILE} is of an older version, or broken. Received "
            f"{sorted(record)}; training, faces and validation are right; train anew elsewhere"
        )
    stored = record["settings"]
    different = different_settings(stored, settings)
    if different:
        raise ValueError(
            f"cannot resume {found} with other settings. Received { {name: settings[name] for name in different} }; "
            f"the run has { {name: stored.get(name, 'nothing') for name in different} }"
        )
    return RunRecord(folder, record)


def read_record(file: Path) -> dict:
    """The record that a run left in its settings.json, in today's words.

    Raises:
        ValueError: the file is none.
    """
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
        record["settings"] = in_todays_words(dict(record["settings"]))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"{file} is not the record of a run. Received {error!r}; train anew elsewhere") from error
    return record


def in_todays_words(settings: dict) -> dict:
    """Settings of a run, those of older versions too; each of them is renamed by a line of its own."""
    recipe = settings.get("recipe")
    if isinstance(recipe, dict) and "head" in recipe:  # also a word of the command line, for something else
        recipe = {"head_scale" if name == "head" else name: value for name, value in recipe.items()}
    return settings | {"recipe": recipe} if recipe is not None else settings


def different_settings(stored: dict, settings: dict) -> list[str]:
    """The names of the settings that a stored run has otherwise."""
    settings = json.loads(json.dumps(settings))  # tuples as JSON has them, so that the comparison is fair
    return [name for name in settings if _said(stored.get(name)) != _said(settings[name])]


def _said(value):
    """A setting without the names that it leaves at None, which a run of an older version need not have known."""
    return {name: item for name, item in value.items() if item is not None} if isinstance(value, dict) else value


def _versions() -> dict[str, str]:
    """Versions of what computes."""
    backend = keras.backend.backend()
    versions = {"python": platform.python_version(), "keras": keras.__version__, "numpy": np.__version__}
    return {**versions, backend: sys.modules[backend].__version__}


def _machine() -> dict:
    """What computes: "cores", "processor", and "gpu", the first one's name or None."""
    processors = Path("/proc/cpuinfo")
    text = processors.read_text(encoding="utf-8") if processors.is_file() else ""
    model = re.search(r"model name\s*: (.+)", text)
    return {"cores": os.cpu_count(), "processor": model.group(1) if model else platform.machine(), "gpu": _gpu()}


def _gpu() -> str | None:
    """The name of the backend's first GPU."""
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
    """The commit of this checkout, with a plus sign where files differ from it; None outside git."""

    def git(*words: str) -> str:
        command = ["git", "-C", str(Path(__file__).parent), *words]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        return git("rev-parse", "HEAD") + ("+" if git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.CalledProcessError):
        return None
