"""Export: a trained network as one file for phones and servers, checked against Keras before it is there.

    python export.py --weights runs/acr/best.keras --format onnx --precision float32 --out acr.onnx
    python export.py --weights runs/acr/best.keras --format litert --precision int8 --out acr.tflite --data-dir data

The file takes float32 RGB images in [0, 1]. How to cut a face for it and how to read its outputs is described inside it
and in FILE.json beside it, which also holds the figures of the check. `predict.py --weights FILE` runs it.
"""

import argparse
import dataclasses
import inspect
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from config import EVALUATION_BATCH, EXPORT_SUFFIXES, SEED, get_crop, get_row
from face_datasets.catalogue import get_dataset
from face_datasets.face_dataset import FaceDataset, crop_batches, load_faces
from image_utility import invert, longer_side, shrink, transform
from inference.confidence import calibration_path
from inference.network import FORMATS, LandmarkNetwork, description_path, keras_model, load_network
from methods import get_method
from utils.files import atomic_write, write_json, write_text

CALIBRATION_FACES = 128  # training faces that int8 takes its ranges from
RENDERED_CHECK_FACES = 128  # where there is no data root
RENDERED_EXPORT_SEEDS = (2_000_000_000, 3_000_000_000)  # of calibration and check; not in the synthetic data set


@dataclass(frozen=True)
class Precision:
    """How an exported network keeps its numbers, and how far it may stray from the Keras network.

    shift: largest distance of any landmark of any face, in pixels of the network's input; None for any. Not asked of
        maps, whose landmarks leap where two pixels are nearly as high.
    map_shift: largest difference of any value of the maps, as a share of their range; None for any.
    nme_ratio: its NME over that of the Keras network; None for any.
    """

    name: str
    shift: float | None = None
    map_shift: float | None = None
    nme_ratio: float | None = None


PRECISIONS = {
    precision.name: precision
    for precision in (
        Precision("float32", shift=1e-3, map_shift=1e-4, nme_ratio=1.001),
        Precision("float16", shift=0.25, map_shift=0.01, nme_ratio=1.01),
        Precision("int8", nme_ratio=1.03),
    )
}


def export(
    weights: str | os.PathLike,
    format: str,
    precision: str,
    out: str | os.PathLike,
    data_dir: str | os.PathLike | None = None,
) -> dict:
    """Writes a network as an ONNX or LiteRT file, and checks it against Keras first: a file that fails is not kept.

    Args:
        weights: a .keras file of train.py, or an old .h5.
        format: "onnx" or "litert". precision: "float32", "float16" or "int8".
        out: the file, ending in .onnx or .tflite; the description with the figures of the check goes to `out`.json; a
            calibration of the weights' confidence is copied beside it.
        data_dir: data root with the network's data set. int8 is calibrated on its training faces, and every precision
            is checked on its validation faces; None takes rendered faces for both.

    Returns:
        the content of `out`.json.

    Raises:
        FileNotFoundError: no such weights, or a data set that is not prepared.
        ImportError: a package of requirements-export.txt is not installed.
        ValueError: unknown format, precision or ending, weights that do not say how they were trained, a check without
            true landmarks, or one that failed.
    """
    out, limits = Path(out), get_row(PRECISIONS, precision, "precision")
    suffix = get_row(EXPORT_SUFFIXES, format, "format")
    if out.suffix != suffix:
        raise ValueError(f"{out} has the wrong ending for {format}. Received {out.suffix!r}; {suffix!r} is right")
    if keras.backend.backend() != "tensorflow":
        raise ValueError(f"export needs Keras on TensorFlow. Received {keras.backend.backend()!r}; unset KERAS_BACKEND")
    network = load_network(weights)
    model = keras_model(network)
    checked = _checked_faces(network, data_dir)
    calibration = _calibration(network, data_dir) if precision == "int8" else None
    description = describe(network, precision)
    with atomic_write(out) as temporary:
        FORMATS[format].write(model, temporary, precision, calibration, json.dumps(description, indent=2))
        check = compare(network, load_network(temporary), checked, data_dir)
        _hold_to(limits, check, out)
    report = {**description, "check": {"faces_of": _origin(checked, data_dir), **check}}
    write_json(description_path(out), report)
    calibrated = calibration_path(network.path)
    if calibrated.is_file():
        content = calibrated.read_text(encoding="utf-8")
        write_text(calibration_path(out), content)
    return report


# --------------------------------------------------------------------------------------------------------------------
# What a file says of itself
# --------------------------------------------------------------------------------------------------------------------


def describe(network: LandmarkNetwork, precision: str) -> dict:
    """What must be known to use the exported network without this project, in words and numbers."""
    size, codec = network.input_size, network.codec
    return {
        "settings": {**network.settings, "dataset": network.dataset},
        "weights": network.path.name,
        "precision": precision,
        "input": {"shape": ["batch", size, size, 3], "dtype": "float32", "colours": "RGB", "range": [0, 1]},
        "preprocessing": {
            "region": "the face's landmark box, grown by these shares of its width and height on each side and by "
            "`pixels` image pixels; its longer side is taken for both where `square` is true; around the mean landmark "
            "in place of the box's centre where `centre` is centroid; both sides times `scale`",
            **dataclasses.asdict(get_crop(network.crop)),
            "resize": f"the region to {size} x {size} pixels, bilinear, the image's edge pixels repeated outside it",
            "range": "divide 8-bit values by 255",
        },
        "postprocessing": {
            "method": network.method,
            "decode": " ".join(inspect.getdoc(codec.decode).split()),
            "size": size,
            **({"reach": codec.window_radius(size)} if codec.window_radius else {}),
            "pixels": "landmarks are 0-based; pixel (0, 0) of the crop shows the region's corner (left, top)",
        },
        "points": network.points,
        "mirror_partners": list(network.layout.partners),
        **({"maps": list(codec.map_names)} if codec.map_names else {}),
    }


# --------------------------------------------------------------------------------------------------------------------
# Faces for calibration and check
# --------------------------------------------------------------------------------------------------------------------


def _checked_faces(network: LandmarkNetwork, data_dir: str | os.PathLike | None) -> FaceDataset:
    if data_dir is None:
        return render_faces(network.dataset, RENDERED_EXPORT_SEEDS[1], RENDERED_CHECK_FACES, network.input_size)
    return load_faces(data_dir, network.dataset, "validation", network.input_size)


def _calibration(network: LandmarkNetwork, data_dir: str | os.PathLike | None) -> np.ndarray:
    """Crops (n, size, size, 3) in [0, 1] of faces that the check does not see."""
    if data_dir is None:
        faces = render_faces(network.dataset, RENDERED_EXPORT_SEEDS[0], CALIBRATION_FACES, network.input_size)
    else:
        faces = load_faces(data_dir, network.dataset, "train", network.input_size)
        faces = faces.random_subset(min(CALIBRATION_FACES, len(faces)), SEED)
    images, _ = next(crop_batches(faces, get_crop(network.crop), network.input_size, len(faces)))
    return images


def render_faces(dataset_name: str, first_seed: int, count: int, input_size: int) -> FaceDataset:
    """Rendered faces in memory with the landmarks of a data set, shrunk for an input of this size.

    Raises:
        ValueError: the renderer does not know those landmarks.
    """
    from synthetic_faces import render_face

    dataset = get_dataset(dataset_name)
    images, landmarks, matrices = [], [], []
    for seed in range(first_seed, first_seed + count):
        face = render_face(seed)
        points = face.landmarks(str(dataset.layout.points))
        image, matrix = shrink(face.image, input_size / longer_side(points))
        images.append(image)
        landmarks.append(points)
        matrices.append(matrix)
    return FaceDataset(
        dataset=dataclasses.replace(dataset, render_size=None),  # they are in no index that one could look into
        split="validation",
        names=[f"rendered {seed}" for seed in range(first_seed, first_seed + count)],
        images=images,
        landmarks=np.stack(landmarks),  # (count, points, 2)
        matrices=np.stack(matrices),  # (count, 2, 3)
        subsets=[()] * count,
        missing=[],
    )


def _origin(faces: FaceDataset, data_dir: str | os.PathLike | None) -> str:
    return "rendered, since no data root was given" if data_dir is None else f"{faces.dataset.title}, {faces.split}"


# --------------------------------------------------------------------------------------------------------------------
# The check
# --------------------------------------------------------------------------------------------------------------------


def compare(
    network: LandmarkNetwork,
    exported: LandmarkNetwork,
    faces: FaceDataset,
    data_dir: str | os.PathLike | None = None,
) -> dict:
    """How far an exported network strays from the Keras network on the same crops.

    Args:
        data_dir: data root of the faces; None for rendered ones.

    Returns:
        "faces": how many; "shift": the largest distance of any landmark in pixels of the network's input, "mean_shift"
        the mean, of contours where both networks found them; "map_shift": the largest difference of any value of the
        maps, as a share of their range, None of a network of coordinates; "nme_keras", "nme" (percent, means over the
        faces; NME^AC of contours) and their ratio "nme_ratio". All are None but "faces" where an output is no finite
        number.
    """
    method, crop, size = get_method(network.method), get_crop(network.crop), network.input_size
    outputs, points, matrices = ([], []), ([], []), []
    for images, moved in crop_batches(faces, crop, size, EVALUATION_BATCH):
        for some, found, raw in zip((network, exported), points, outputs, strict=True):
            predicted = some.run(images)
            raw.append(_last(predicted))
            found.append(np.asarray(method.codec.decode(predicted, size), np.float64))
        matrices.append(moved)
    ours, theirs = map(np.concatenate, outputs)  # maps, or coordinates
    result = dict.fromkeys(("shift", "mean_shift", "map_shift", "nme_keras", "nme", "nme_ratio"))
    if np.isfinite(ours).all() and np.isfinite(theirs).all():
        before, after = map(np.concatenate, points)  # (faces, points, 2) in crop pixels
        shifts = np.linalg.norm(after - before, axis=-1)  # (faces, points)
        shifts = shifts[np.isfinite(shifts)]
        if len(shifts):
            result |= {"shift": float(shifts.max()), "mean_shift": float(shifts.mean())}
        if method.head.kind == "heatmaps":
            result["map_shift"] = float(np.abs(theirs - ours).max() / max(np.ptp(ours), np.finfo(np.float32).tiny))
        back, truth = invert(np.concatenate(matrices)), method.codec.truth(faces, data_dir)
        before, after = (
            float(method.codec.errors(transform(some, back), truth, faces).mean()) for some in (before, after)
        )
        result |= {"nme_keras": before, "nme": after, "nme_ratio": after / before}
    return {"faces": len(faces), **result}


def _last(outputs: object) -> np.ndarray:
    """The output that is decoded: the last one of several."""
    return np.asarray(outputs[-1] if isinstance(outputs, list | tuple) else outputs)


def _hold_to(limits: Precision, check: dict, out: Path) -> None:
    """Raises ValueError where a figure of the check is above its limit, or is no number."""
    if check["nme_ratio"] is None:
        raise ValueError(f"{out} is not written: its predictions are not finite numbers")
    for name in _held(check):
        limit = getattr(limits, name)
        if limit is not None and not check[name] <= limit:
            raise ValueError(
                f"{out} is not written: the {limits.name} file strays too far from Keras. Received {name} {check[name]}"
                f" on {check['faces']} faces; at most {limit} is right"
            )


def _held(check: dict) -> tuple[str, str]:
    """The figures that have limits."""
    return ("shift" if check["map_shift"] is None else "map_shift", "nme_ratio")


def _table(report: dict, out: Path) -> str:
    """The report in words."""
    check, limits = report["check"], PRECISIONS[report["precision"]]
    megabytes = out.stat().st_size / 2**20
    most = {name: getattr(limits, name) for name in _held(check)}
    lines = [
        f"{out}: {report['weights']} in {limits.name}, {megabytes:.1f} MiB, {description_path(out).name} beside it",
        f"checked on {check['faces']} faces ({check['faces_of']}), pixels of the network's input:",
    ]
    if check["shift"] is not None:
        shift = f"largest {check['shift']:.6f}, mean {check['mean_shift']:.6f}"
        lines.append(f"  shift of a landmark   {shift}{_at_most(most.get('shift'))}")
    if check["map_shift"] is not None:
        lines.append(f"  shift of a map        {check['map_shift']:.6f} of its range{_at_most(most['map_shift'])}")
    metric = get_method(report["postprocessing"]["method"]).codec.metric
    lines.append(
        f"  {metric:<22}{check['nme']:.3f} %, Keras {check['nme_keras']:.3f} %, "
        f"ratio {check['nme_ratio']:.4f}{_at_most(most['nme_ratio'])}"
    )
    return "\n".join(lines)


def _at_most(limit: float | None) -> str:
    return "" if limit is None else f" (at most {limit:g})"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(description="Write a trained network as an ONNX or LiteRT file.")
    parser.add_argument("--weights", required=True, help="a .keras file of train.py, or an .h5 file of the original")
    parser.add_argument("--format", required=True, choices=[*EXPORT_SUFFIXES], help="ONNX, or LiteRT (.tflite)")
    parser.add_argument("--precision", default="float32", choices=[*PRECISIONS], help="how numbers are kept")
    parser.add_argument("--out", required=True, help="the file, ending in .onnx or .tflite")
    parser.add_argument("--data-dir", help="data root for calibration and check; rendered faces without it")
    options = parser.parse_args(arguments)
    try:
        report = export(options.weights, options.format, options.precision, options.out, options.data_dir)
    except (OSError, ValueError, ImportError) as error:
        print(f"export.py: {error}", file=sys.stderr)
        return 1
    print(_table(report, Path(options.out)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
