"""What a run was: its settings, versions and commit, kept beside its weights and held against a run that goes on."""

import json
import os
import platform
import re
import shlex
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np

from config import SETTINGS_FILE, STATE_FILE


def open_run(folder: Path, settings: dict, resume: bool) -> dict:
    """The record of a run: of a new one, or of the one in `folder` that is to go on.

    Args:
        settings: everything that was resolved for this run.

    Returns:
        "settings", "versions", "commit", "training" ("command", "machine" and "seconds" so far), and "validation": the
        best figures so far, None before the first epoch.

    Raises:
        FileExistsError: the folder holds a run, and `resume` is False.
        FileNotFoundError: there is nothing to resume.
        ValueError: the run in the folder has other settings.
    """
    file = folder / SETTINGS_FILE
    there = (folder / STATE_FILE).is_file() and file.is_file()
    if resume and not there:
        raise FileNotFoundError(f"nothing to resume. Received {folder}, which holds no {STATE_FILE} of a run")
    if there and not resume:
        raise FileExistsError(f"{folder} holds a run already. Go on with --resume, or take another --save-path")
    if not resume:
        training = {"command": shlex.join(["python", *sys.argv]), "machine": _machine(), "seconds": 0.0}
        return {
            "settings": settings,
            "versions": _versions(),
            "commit": _commit(),
            "training": training,
            "validation": None,
        }
    record = read_record(file)
    if not {"training", "faces", "validation"} <= record.keys():
        raise ValueError(
            f"cannot resume {folder}: its {SETTINGS_FILE} is of an older version, or broken. Received "
            f"{sorted(record)}; training, faces and validation are right; train anew elsewhere"
        )
    stored = record["settings"]
    different = different_settings(stored, settings)
    lacking = [name for name in different if name not in stored]
    if lacking and lacking == different:
        raise ValueError(
            f"cannot resume {folder}: nothing says that it was trained alike. Received a record without "
            f"{', '.join(lacking)}, which older versions did not keep; train anew elsewhere"
        )
    if different:
        raise ValueError(
            f"cannot resume {folder} with other settings. Received { {name: settings[name] for name in different} }; "
            f"the run has { {name: stored.get(name) for name in different} }"
        )
    return record


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
