"""Shipping: a finished run becomes a weights file with its record and its card in pre_trained_models/.

    python -m evaluation.publish runs/acr --data-dir data

writes, under the original's names, pre_trained_models/300w/mnv2_112/300w_mnv2_112_ACRLoss.keras (float16 where the
validation NME stays within 0.005 %, else float32), .json beside it (settings, figures, SHA-256, as predict.py reads
them) and .md, the model card. Validation and test faces, where they are prepared, are measured with the very file that
is shipped.
"""

import argparse
import hashlib
import os
import shutil
import sys
import types
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np

import metrics
from cnn_model import get_network
from config import BEST_FILE, DATA_DIR, LOG_FILE, SETTINGS_FILE, WEIGHTS_DIR, get_crop
from evaluation.evaluator import predict_faces
from evaluation.model_card import model_card
from face_datasets.catalogue import get_dataset
from face_datasets.face_dataset import FaceDataset, load_faces, read_index
from inference.confidence import calibration_path
from methods import get_method
from networks.keras_file import write_half
from networks.weights import find_record, load_model
from training.pose_balance import pose_bins
from training.run_record import read_record
from utils.files import atomic_write, write_json, write_text

# What a shipped file's name ends in, by method: the original's names where it has one; else the method's own
SHIPPED_NAMES = types.MappingProxyType({"acr": "ACRLoss", "l2": "base", "l1": "L1"})
SHIPPED_SHIFT = 0.005  # percentage points of validation NME by which float16 may differ from float32
MACHINE_SHIFT = 0.05  # the same between the machine of the training and another: GPUs round products to TF32
CARD_FACES = 5  # how many of the worst faces a model card names
CARD_POSES = 3  # bins of head pose that it tells apart


def shipped_path(settings: dict, folder: str | os.PathLike = WEIGHTS_DIR) -> Path:
    """Where the weights of a run with these settings lie, 300w/mnv2_112/300w_mnv2_112_ACRLoss.keras for instance; with
    the spatial head 300w/mnv2_112_spatial/300w_mnv2_112_spatial_ACRLoss.keras."""
    network, size = get_network(settings["arch"]), settings["input_size"]
    sized = ("" if size == network.input_size else f"_{size}") + "_spatial" * bool(settings["recipe"].get("spatial"))
    name = SHIPPED_NAMES.get(settings["method"], settings["method"])
    title = settings["dataset"].lower()
    file = f"{title}_{network.short_name.replace('_', '')}{sized}_{name}.keras"
    return Path(folder) / title / f"{network.short_name}{sized}" / file


def ship(
    run: str | os.PathLike, data_dir: str | os.PathLike = DATA_DIR, folder: str | os.PathLike = WEIGHTS_DIR
) -> Path:
    """Writes weights, record and card of a run, each whole or not at all; returns the path of the weights.

    A calibration of the weights' confidence goes with them.

    The record comes last: weights without one are not chosen by predict.py.

    Args:
        run: the folder of a run that has finished its epochs, or some of them.
        data_dir: the data root with the run's data set. folder: where shipped weights lie.

    Raises:
        FileNotFoundError: no run there, or a data set that is not prepared.
        ValueError: a file that is broken, a run without a finished epoch or of an older version, weights that do not
            give the validation NME of their record, or that predict contours.
    """
    run = Path(run)
    if not (run / SETTINGS_FILE).is_file() or not (run / BEST_FILE).is_file():
        raise FileNotFoundError(
            f"{run} holds no run. Received no {SETTINGS_FILE} or no {BEST_FILE}; train.py makes them"
        )
    record = read_record(run / SETTINGS_FILE)
    if not record.get("validation") or "faces" not in record or "machine" not in record.get("training", {}):
        raise ValueError(f"{run} cannot be shipped. Received a record without a finished epoch, or of an older version")
    settings = record["settings"]
    if get_method(settings["method"]).codec.metric != "NME":  # cannot be compared with the other weights
        raise ValueError(
            f"{run} cannot be shipped. Received the method {settings['method']}, which predicts contours; methods that "
            f"predict landmarks are right. predict.py takes {run / BEST_FILE} as --weights"
        )
    dataset, path = get_dataset(settings["dataset"]), shipped_path(settings, folder)
    held_out = load_faces(data_dir, dataset.name, "validation", settings["input_size"])
    measured = _nme(load_model(run / BEST_FILE), settings, held_out)
    if abs(record["validation"]["nme"] - measured) > MACHINE_SHIFT:
        raise ValueError(
            f"{run / BEST_FILE} is not what its record says. Received a validation NME of {measured:.4f} %, not "
            f"{record['validation']['nme']:.4f}. Are the validation faces in {data_dir} those of the run?"
        )
    stored = {"precision": "float16"}

    for outdated in (path.with_suffix(".json"), calibration_path(path)):
        outdated.unlink(missing_ok=True)
    with atomic_write(path) as temporary:
        write_half(run / BEST_FILE, temporary)
        shift = abs(_nme(load_model(temporary), settings, held_out) - measured)
        if not shift <= SHIPPED_SHIFT:
            stored["precision"] = "float32"
            shutil.copyfile(run / BEST_FILE, temporary)
    model = load_model(path)
    content = path.read_bytes()
    stored |= {"name": path.name, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    record["validation"] |= {"nme": _nme(model, settings, held_out), "nme_float32": measured}
    record["training"]["epochs"] = len((run / LOG_FILE).read_text(encoding="utf-8").splitlines()) - 1
    record["stages"] = _stages(settings)
    record |= {"file": stored, "parameters": model.count_params(), **_tested(model, settings, data_dir)}
    calibrated = calibration_path(run / BEST_FILE)
    if calibrated.is_file():
        write_text(calibration_path(path), calibrated.read_text(encoding="utf-8"))
    write_text(path.with_suffix(".md"), model_card(record))
    write_json(path.with_suffix(".json"), record)
    return path


def _stages(settings: dict) -> list[dict]:
    """The runs whose weights a run with these settings went on from, the latest first.

    Returns:
        For each "weights", the file; "sets", the data sets of its faces, "command" and "seconds", each None where
        nothing says so.
    """
    stages = []
    while (start := settings.get("start_weights")) and start not in [stage["weights"] for stage in stages]:
        file = find_record(Path(start))
        record = read_record(file) if file else {"settings": {}}
        settings, training = record["settings"], record.get("training", {})
        sets = [settings["dataset"], *settings.get("extra_datasets", ())] if "dataset" in settings else None
        stages.append({"weights": start, "sets": sets, **{name: training.get(name) for name in ("command", "seconds")}})
        if "stages" in record:  # of a shipped file, whose start need not lie here
            return stages + record["stages"]
    return stages


def _predicted(model: keras.Model, settings: dict, faces: FaceDataset, flip: bool = False) -> np.ndarray:
    return predict_faces(model, get_method(settings["method"]).codec, faces, get_crop(settings["crop"]), flip=flip)


def _nme(model: keras.Model, settings: dict, faces: FaceDataset) -> float:
    """Mean NME in percent."""
    return float(metrics.nme(_predicted(model, settings, faces), faces.landmarks, faces.normaliser_distance()).mean())


def _tested(model: keras.Model, settings: dict, data_dir: str | os.PathLike) -> dict:
    """Figures on the test faces, nothing where none are prepared.

    Returns:
        "test": as in metrics.json. "test_flip": the same, averaged with the mirrored crop. "missing": official test
        parts that were not at hand. "poses": "n" and "nme" of each bin of head pose. "worst": the
        faces of the largest NME, "image" and "nme" each.
    """
    dataset = get_dataset(settings["dataset"])
    if all(face["split"] != "test" for face in read_index(data_dir, dataset)["faces"]):
        return {}
    faces = load_faces(data_dir, dataset.name, "test", settings["input_size"])
    once, flipped = (_predicted(model, settings, faces, flip) for flip in (False, True))
    nmes = metrics.nme(once, faces.landmarks, faces.normaliser_distance())
    official = dataset.subsets["test"]
    test, test_flip = (
        metrics.evaluate(predicted, faces.landmarks, dataset, faces.subsets, official, boxes=faces.boxes)
        for predicted in (once, flipped)
    )
    bins = pose_bins(faces.landmarks, dataset.pose_mode, CARD_POSES)
    worst = np.argsort(-nmes, kind="stable")[:CARD_FACES]
    return {
        "test": test,
        "test_flip": test_flip,
        "missing": faces.missing,
        "poses": [{"n": len(members), "nme": float(nmes[members].mean())} for members in bins],
        "worst": [{"image": faces.names[i], "nme": float(nmes[i])} for i in worst],
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(description="Put the weights of a finished run into pre_trained_models/.")
    parser.add_argument("run", help="folder of a run of train.py")
    parser.add_argument("--data-dir", default=DATA_DIR, help="the data root")
    parser.add_argument("--out", default=WEIGHTS_DIR, help="where shipped weights lie (default: %(default)s)")
    options = parser.parse_args(arguments)
    try:
        path = ship(options.run, options.data_dir, options.out)
    except (OSError, ValueError) as error:
        print(f"evaluation/publish.py: {error}", file=sys.stderr)
        return 1
    print(path.with_suffix(".md").read_text(encoding="utf-8"))
    print(f"{path}, and .json and .md beside it")
    return 0


if __name__ == "__main__":
    sys.exit(main())
