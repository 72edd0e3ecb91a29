"""Publishing: a finished run becomes a weights file with its record and its model card in pre_trained_models/.

    python -m evaluation.publish runs/acr --data-dir data

writes, under the original's names, pre_trained_models/300w/mnv2_112/300w_mnv2_112_ACRLoss.keras (float16 if the
validation NME stays within 0.005 %, else float32), .json beside it (settings, figures, SHA-256, as predict.py reads
them) and .md, the model card. Validation faces, and test faces if they are prepared, are evaluated with the very file
that is published.
"""

import argparse
import hashlib
import os
import shutil
import sys
import types
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from config import BEST_FILE, DATA_DIR, LOG_FILE, SETTINGS_FILE, WEIGHTS_DIR, get_crop
from evaluation.evaluator import predict_faces
from evaluation.model_card import model_card
from face_datasets.catalogue import get_dataset
from face_datasets.face_dataset import FaceDataset, load_faces, read_index
from inference.confidence import calibration_path
from methods import get_method
from training.pose_balance import pose_bins
from utils import cli
from utils.files import atomic_write, write_json, write_text

if TYPE_CHECKING:
    import keras

# End of a published file's name, by method: the original's word if it has one, else the name of the method
PUBLISHED_NAMES = types.MappingProxyType({"acr": "ACRLoss", "l2": "base", "l1": "L1"})
PUBLISHED_SHIFT = 0.005  # percentage points of validation NME by which float16 may differ from float32
MACHINE_SHIFT = 0.05  # the same between the machine of the training and another: GPUs round products to TF32
CARD_FACES = 5  # faces of the largest errors that a model card names
CARD_POSES = 3  # bins of head pose in a model card


def published_path(settings: dict, folder: str | os.PathLike = WEIGHTS_DIR) -> Path:
    """Return the path of the weights of a run: 300w/mnv2_112/300w_mnv2_112_ACRLoss.keras for instance; with the
    soft-argmax head 300w/mnv2_112_spatial/300w_mnv2_112_spatial_ACRLoss.keras.

    Args:
        settings: settings of the run.
        folder: folder of published weights; default: WEIGHTS_DIR.
    """
    from cnn_model import get_network

    network, size = get_network(settings["arch"]), settings["input_size"]
    sized = ("" if size == network.input_size else f"_{size}") + "_spatial" * bool(settings["recipe"].get("spatial"))
    name = PUBLISHED_NAMES.get(settings["method"], settings["method"])
    title = settings["dataset"].lower()
    file = f"{title}_{network.short_name.replace('_', '')}{sized}_{name}.keras"
    return Path(folder) / title / f"{network.short_name}{sized}" / file


def publish(
    run: str | os.PathLike, data_dir: str | os.PathLike = DATA_DIR, folder: str | os.PathLike = WEIGHTS_DIR
) -> Path:
    """Write weights, record and model card of a run, each atomically, and a calibration if the run has one.

    The record comes last: predict.py does not choose weights without one.

    Args:
        run: folder of a run with at least one finished epoch.
        data_dir: data root with the run's data set; default: DATA_DIR.
        folder: folder of published weights; default: WEIGHTS_DIR.

    Returns:
        the path of the weights.

    Raises:
        FileNotFoundError: no run there, or a data set that is not prepared.
        ValueError: a broken file, a run without a finished epoch, weights that do not have the validation NME of their
            record, or that predict contours.
    """
    from networks.keras_file import write_half
    from networks.weights import load_model
    from training.run_record import read_record

    run = Path(run)
    if not (run / SETTINGS_FILE).is_file() or not (run / BEST_FILE).is_file():
        raise FileNotFoundError(
            f"{run} holds no run. Received no {SETTINGS_FILE} or no {BEST_FILE}; train.py writes them"
        )
    record = read_record(run / SETTINGS_FILE)
    if not record.get("validation") or "faces" not in record or "machine" not in record.get("training", {}):
        raise ValueError(f"{run} cannot be published. Received a record without a finished epoch")
    settings = record["settings"]
    if get_method(settings["method"]).codec.metric != "NME":  # no comparison with the other weights is possible
        raise ValueError(
            f"{run} cannot be published. Received the method {settings['method']}, which predicts contours; expected "
            f"a method that predicts landmarks. predict.py takes {run / BEST_FILE} as --weights"
        )
    dataset, path = get_dataset(settings["dataset"]), published_path(settings, folder)
    held_out = load_faces(data_dir, dataset.name, "validation", settings["input_size"])
    measured = _nme(load_model(run / BEST_FILE), settings, held_out)
    if abs(record["validation"]["nme"] - measured) > MACHINE_SHIFT:
        raise ValueError(
            f"{run / BEST_FILE} does not fit its record. Received a validation NME of {measured:.4f} %; expected "
            f"{record['validation']['nme']:.4f}. Are the validation faces in {data_dir} those of the run?"
        )
    stored = {"precision": "float16"}
    for outdated in (path.with_suffix(".json"), calibration_path(path)):
        outdated.unlink(missing_ok=True)
    with atomic_write(path) as temporary:
        write_half(run / BEST_FILE, temporary)
        shift = abs(_nme(load_model(temporary), settings, held_out) - measured)
        if not shift <= PUBLISHED_SHIFT:
            stored["precision"] = "float32"
            shutil.copyfile(run / BEST_FILE, temporary)
    model = load_model(path)
    content = path.read_bytes()
    stored |= {"name": path.name, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    record["validation"] |= {"nme": _nme(model, settings, held_out), "nme_float32": measured}
    record["training"]["epochs"] = len((run / LOG_FILE).read_text(encoding="utf-8").splitlines()) - 1
    record["stages"] = get_stages(settings)
    record |= {"file": stored, "parameters": model.count_params(), **_evaluate_test(model, settings, data_dir)}
    calibration = calibration_path(run / BEST_FILE)
    if calibration.is_file():
        write_text(calibration_path(path), calibration.read_text(encoding="utf-8"))
    write_text(path.with_suffix(".md"), model_card(record))
    write_json(path.with_suffix(".json"), record)
    return path


def get_stages(settings: dict) -> list[dict]:
    """Return the runs whose weights a run with these settings started from, the latest first.

    Returns:
        for each "weights", the file, and "sets", the data sets of its faces, "command" and "seconds", each None if
        unknown.
    """
    from networks.weights import find_record
    from training.run_record import read_record

    stages = []
    while (start := settings.get("start_weights")) and start not in [stage["weights"] for stage in stages]:
        file = find_record(Path(start))
        record = read_record(file) if file else {"settings": {}}
        settings, training = record["settings"], record.get("training", {})
        sets = [settings["dataset"], *settings.get("extra_datasets", ())] if "dataset" in settings else None
        stages.append({"weights": start, "sets": sets, **{name: training.get(name) for name in ("command", "seconds")}})
        if "stages" in record:  # of a published file, whose start weights need not be here
            return stages + record["stages"]
    return stages


def _predict(model: "keras.Model", settings: dict, faces: FaceDataset, flip: bool = False) -> np.ndarray:
    return predict_faces(model, get_method(settings["method"]).codec, faces, get_crop(settings["crop"]), flip=flip)


def _nme(model: "keras.Model", settings: dict, faces: FaceDataset) -> float:
    """Return the mean NME in percent."""
    codec = get_method(settings["method"]).codec
    return float(codec.errors(_predict(model, settings, faces), faces.landmarks, faces).mean())


def _evaluate_test(model: "keras.Model", settings: dict, data_dir: str | os.PathLike) -> dict:
    """Return the figures on the test faces, nothing if none are prepared.

    Returns:
        "test": as in metrics.json. "test_flip": the same, averaged with the mirrored crop. "missing": official test
        parts that were not found. "poses": "n" and "nme" of each bin of head pose. "worst": the faces of the largest
        NME, "image" and "nme" each.
    """
    dataset, codec = get_dataset(settings["dataset"]), get_method(settings["method"]).codec
    if all(face["split"] != "test" for face in read_index(data_dir, dataset)["faces"]):
        return {}
    faces = load_faces(data_dir, dataset.name, "test", settings["input_size"])
    once, flipped = (_predict(model, settings, faces, flip) for flip in (False, True))
    nmes = codec.errors(once, faces.landmarks, faces)
    bins = pose_bins(faces.landmarks, dataset.pose_mode, CARD_POSES)
    worst = np.argsort(-nmes, kind="stable")[:CARD_FACES]
    return {
        "test": codec.evaluate(once, faces.landmarks, faces),
        "test_flip": codec.evaluate(flipped, faces.landmarks, faces),
        "missing": faces.missing,
        "poses": [{"n": len(members), "nme": float(nmes[members].mean())} for members in bins],
        "worst": [{"image": faces.names[i], "nme": float(nmes[i])} for i in worst],
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(description="Put the weights of a finished run into pre_trained_models/.")
    parser.add_argument("run", help="folder of a run of train.py")
    parser.add_argument("--data-dir", default=DATA_DIR, help="data root; default: %(default)s")
    parser.add_argument("--out", default=WEIGHTS_DIR, help="folder of published weights; default: pre_trained_models")
    options = parser.parse_args(arguments)

    def work() -> None:
        path = publish(options.run, options.data_dir, options.out)
        print(path.with_suffix(".md").read_text(encoding="utf-8"))
        print(f"{path}, and .json and .md beside it")

    return cli.run(work, "evaluation.publish")


if __name__ == "__main__":
    sys.exit(main())
