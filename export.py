"""Export a trained network as one file for phones and servers, checked against Keras before it is kept.

    python export.py --weights runs/acr/best.keras --format onnx --precision float32 --out acr.onnx
    python export.py --weights runs/acr/best.keras --format litert --precision int8 --out acr.tflite --data-dir data

The file takes float32 RGB images in [0, 1]. How to crop a face for it and how to decode its outputs is described inside
it and in FILE.json beside it, which also has the figures of the check. `predict.py --weights FILE` runs it.
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

import numpy as np

from config import EVALUATION_BATCH, EXPORT_SUFFIXES, SEED, get_crop, get_row
from face_datasets.catalogue import get_dataset
from face_datasets.face_dataset import FaceDataset, crop_batches, load_faces
from image_utility import invert, longer_side, shrink, transform
from inference.confidence import calibration_path
from inference.network import FORMATS, LandmarkNetwork, description_path, keras_model, load_network
from methods import get_method
from utils import cli
from utils.files import atomic_write, write_json, write_text

CALIBRATION_FACES = 128  # for int8's ranges, and rendered ones for the check
RENDERED_SEEDS = {"calibration": 2_000_000_000, "check": 3_000_000_000}  # first seeds; not in the synthetic data set
FIGURES = ("shift", "mean_shift", "map_shift", "nme_keras", "nme", "nme_ratio")  # of a check


@dataclass(frozen=True)
class Precision:
    """Number format of an exported network, and the limits of its difference from the Keras network.

    Attributes:
        name: its name on the command line.
        shift: maximum distance of any landmark of any face, in pixels of the network's input; None for no limit. It
            does not apply to heatmaps, whose landmarks are unstable between near-equal peaks.
        map_shift: maximum difference of any heatmap value, as a fraction of the heatmaps' range; None for no limit.
        nme_ratio: maximum ratio of its NME to that of the Keras network; None for no limit.
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
    max_faces: int = CALIBRATION_FACES,
) -> dict:
    """Write a network as an ONNX or LiteRT file; a file that fails the check against Keras is not kept.

    Args:
        weights: a .keras file of train.py, or an old .h5.
        format: "onnx" or "litert".
        precision: "float32", "float16" or "int8".
        out: the file, ending in .onnx or .tflite. The description with the figures of the check is written to
            `out`.json. A calibration of the weights' confidence is copied beside it.
        data_dir: data root with the network's data set. Its training faces calibrate int8, and its validation faces
            check every precision; default: rendered faces for both.
        max_faces: number of faces that calibrate int8, and of rendered faces for the check; default: CALIBRATION_FACES.

    Returns:
        The content of `out`.json.

    Raises:
        FileNotFoundError: there are no such weights, or the data set is not prepared.
        ImportError: a package of requirements-export.txt is not installed.
        ValueError: the format, the precision or the suffix is unknown, the settings of the weights are missing, faces
            with such landmarks cannot be rendered, or the check failed.
    """
    out, limits = Path(out), get_row(PRECISIONS, precision, "precision")
    suffix = get_row(EXPORT_SUFFIXES, format, "format")
    if out.suffix != suffix:
        raise ValueError(f"{out} has the wrong suffix for {format}. Received {out.suffix!r}; expected {suffix!r}")
    _check_backend()
    network = load_network(weights)
    model = keras_model(network)
    faces = check_faces(network, data_dir, max_faces)
    calibration = calibration_images(network, data_dir, max_faces) if precision == "int8" else None
    description = describe(network, precision)
    with atomic_write(out) as temporary:
        FORMATS[format].write(model, temporary, precision, calibration, json.dumps(description, indent=2))
        check = compare(network, load_network(temporary), faces, data_dir)
        check_limits(check, limits, out)
    source = "rendered, no --data-dir was given" if data_dir is None else f"{faces.dataset.title}, {faces.split}"
    report = {**description, "check": {"faces_of": source, **check}}
    write_json(description_path(out), report)
    if calibration_path(network.path).is_file():
        write_text(calibration_path(out), calibration_path(network.path).read_text(encoding="utf-8"))
    return report


def _check_backend() -> None:
    """Raise ValueError if Keras runs on another backend than TensorFlow."""
    import keras

    if keras.backend.backend() != "tensorflow":
        raise ValueError(f"export needs Keras on TensorFlow. Received {keras.backend.backend()!r}; unset KERAS_BACKEND")


# --------------------------------------------------------------------------------------------------------------------
# Description
# --------------------------------------------------------------------------------------------------------------------


def describe(network: LandmarkNetwork, precision: str) -> dict:
    """Return the description of an exported network, for programs without this project.

    Args:
        network: the network.
        precision: "float32", "float16" or "int8".
    """
    size, codec = network.input_size, network.codec
    return {
        "settings": {**network.settings, "dataset": network.dataset},
        "weights": network.path.name,
        "precision": precision,
        "input": {"shape": ["batch", size, size, 3], "dtype": "float32", "colours": "RGB", "range": [0, 1]},
        "preprocessing": {
            "region": "the face's landmark box, padded on each side by these fractions of its width and height and by "
            "`pixels` image pixels; if `square` is true, the longer side is used for both; the centre is the box's, or "
            "the mean landmark if `centre` is centroid; both sides are multiplied by `scale`",
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


def check_faces(network: LandmarkNetwork, data_dir: str | os.PathLike | None, count: int) -> FaceDataset:
    """Return the validation faces of the network's data set, or `count` rendered faces without a data root."""
    if data_dir is None:
        return render_faces(network.dataset, RENDERED_SEEDS["check"], count, network.input_size)
    return load_faces(data_dir, network.dataset, "validation", network.input_size)


def calibration_images(network: LandmarkNetwork, data_dir: str | os.PathLike | None, count: int) -> np.ndarray:
    """Return crops (n, size, size, 3) in [0, 1] of training faces, or of rendered faces, none of which the check has.

    Args:
        network: the network.
        data_dir: data root, or None for rendered faces.
        count: maximum number of faces.
    """
    if data_dir is None:
        faces = render_faces(network.dataset, RENDERED_SEEDS["calibration"], count, network.input_size)
    else:
        faces = load_faces(data_dir, network.dataset, "train", network.input_size)
        faces = faces.random_subset(min(count, len(faces)), SEED)
    images, _ = next(crop_batches(faces, get_crop(network.crop), network.input_size, len(faces)))
    return images


def render_faces(dataset_name: str, first_seed: int, count: int, input_size: int) -> FaceDataset:
    """Return rendered faces with the landmarks of a data set.

    Args:
        dataset_name: name or title of the data set.
        first_seed: seed of the first face; the others follow.
        count: number of faces.
        input_size: side of the network's input in pixels; the faces are shrunk accordingly.

    Raises:
        ValueError: the renderer has no such landmarks.
    """
    from synthetic_faces import render_face

    dataset = get_dataset(dataset_name)
    seeds = range(first_seed, first_seed + count)
    images, landmarks, matrices = [], [], []
    for seed in seeds:
        face = render_face(seed)
        points = face.landmarks(str(dataset.layout.points))
        image, matrix = shrink(face.image, input_size / longer_side(points))
        images.append(image)
        landmarks.append(points)
        matrices.append(matrix)
    return FaceDataset(
        dataset=dataclasses.replace(dataset, render_size=None),  # the faces are in no index
        split="validation",
        names=[f"rendered {seed}" for seed in seeds],
        images=images,
        landmarks=np.stack(landmarks),  # (count, points, 2)
        matrices=np.stack(matrices),  # (count, 2, 3)
        subsets=[()] * count,
        missing=[],
    )


# --------------------------------------------------------------------------------------------------------------------
# Check
# --------------------------------------------------------------------------------------------------------------------


def compare(
    network: LandmarkNetwork,
    exported: LandmarkNetwork,
    faces: FaceDataset,
    data_dir: str | os.PathLike | None = None,
) -> dict:
    """Return the differences between an exported network and the Keras network on the same crops.

    Args:
        network: the Keras network.
        exported: the exported network.
        faces: the faces.
        data_dir: data root of the faces; default: rendered faces, which have none.

    Returns:
        "faces", their number, and FIGURES. "shift" and "mean_shift" are the maximum and the mean distance of a landmark
        in pixels of the network's input, for contours those that both networks found; "map_shift" is the maximum
        difference of a heatmap value as a fraction of the range, None for coordinates; "nme_keras" and "nme" are means
        over the faces in percent (NME^AC for contours), and "nme_ratio" is their ratio. All figures are None if an
        output is not a finite number.
    """
    outputs, points, to_image = _predict(network, faces)
    exported_outputs, exported_points, _ = _predict(exported, faces)
    figures = dict.fromkeys(FIGURES)
    if np.isfinite(outputs).all() and np.isfinite(exported_outputs).all():
        shifts = np.linalg.norm(exported_points - points, axis=-1)  # (faces, points)
        shifts = shifts[np.isfinite(shifts)]
        if len(shifts):
            figures |= {"shift": float(shifts.max()), "mean_shift": float(shifts.mean())}
        if get_method(network.method).head.kind == "heatmaps":
            extent = max(np.ptp(outputs), np.finfo(np.float32).tiny)
            figures["map_shift"] = float(np.abs(exported_outputs - outputs).max() / extent)
        truth = network.codec.truth(faces, data_dir)
        keras_nme, nme = (
            float(network.codec.errors(transform(some, to_image), truth, faces).mean())
            for some in (points, exported_points)
        )
        figures |= {"nme_keras": keras_nme, "nme": nme, "nme_ratio": nme / keras_nme}
    return {"faces": len(faces), **figures}


def _predict(network: LandmarkNetwork, faces: FaceDataset) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the outputs that are decoded, the points (faces, points, 2) in crop pixels, and the matrices to images."""
    outputs, points, matrices = [], [], []
    for images, to_crop in crop_batches(faces, get_crop(network.crop), network.input_size, EVALUATION_BATCH):
        predicted = network.run(images)
        outputs.append(np.asarray(predicted[-1] if isinstance(predicted, list | tuple) else predicted))
        points.append(np.asarray(network.codec.decode(predicted, network.input_size), np.float64))
        matrices.append(to_crop)
    return np.concatenate(outputs), np.concatenate(points), invert(np.concatenate(matrices))


def check_limits(check: dict, limits: Precision, out: Path) -> None:
    """Raise ValueError if a figure of the check is above its limit, or is not a number.

    Args:
        check: the result of `compare`.
        limits: the precision of the file.
        out: the file, for the error.
    """
    if check["nme_ratio"] is None:
        raise ValueError(f"{out} is not written: its predictions are not finite numbers")
    for name in _limited_figures(check):
        limit = getattr(limits, name)
        if limit is not None and not check[name] <= limit:
            raise ValueError(
                f"{out} is not written: the {limits.name} file differs too much from Keras. Received {name} "
                f"{check[name]} on {check['faces']} faces; expected at most {limit}"
            )


def _limited_figures(check: dict) -> tuple[str, str]:
    return ("shift" if check["map_shift"] is None else "map_shift", "nme_ratio")


def to_text(report: dict, out: Path) -> str:
    """Return the report of `export` as text."""
    check, limits = report["check"], PRECISIONS[report["precision"]]
    limit = {name: getattr(limits, name) for name in _limited_figures(check)}
    megabytes = out.stat().st_size / 2**20
    lines = [
        f"{out}: {report['weights']} in {limits.name}, {megabytes:.1f} MiB, {description_path(out).name} beside it",
        f"checked on {check['faces']} faces ({check['faces_of']}), pixels of the network's input:",
    ]
    if check["shift"] is not None:
        shift = f"largest {check['shift']:.6f}, mean {check['mean_shift']:.6f}"
        lines.append(f"  shift of a landmark   {shift}{_at_most(limit.get('shift'))}")
    if check["map_shift"] is not None:
        lines.append(f"  shift of a heatmap    {check['map_shift']:.6f} of its range{_at_most(limit['map_shift'])}")
    metric = get_method(report["postprocessing"]["method"]).codec.metric
    lines.append(
        f"  {metric:<22}{check['nme']:.3f} %, Keras {check['nme_keras']:.3f} %, "
        f"ratio {check['nme_ratio']:.4f}{_at_most(limit['nme_ratio'])}"
    )
    return "\n".join(lines)


def _at_most(limit: float | None) -> str:
    return "" if limit is None else f" (at most {limit:g})"


def export_and_print(options: argparse.Namespace) -> None:
    """Export the network of the command line and print the report."""
    report = export(options.weights, options.format, options.precision, options.out, options.data_dir)
    print(to_text(report, Path(options.out)))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    parser = argparse.ArgumentParser(description="Write a trained network as an ONNX or LiteRT file.")
    add = parser.add_argument
    add("--weights", required=True, help="a .keras file of train.py, or an .h5 file of the original")
    add("--format", required=True, choices=[*EXPORT_SUFFIXES], help="file format: ONNX, or LiteRT (.tflite)")
    add("--precision", default="float32", choices=[*PRECISIONS], help="number format; default: %(default)s")
    add("--out", required=True, help="the file, ending in .onnx or .tflite")
    add("--data-dir", help="data root with the faces of calibration and check; default: rendered faces")
    options = parser.parse_args(arguments)
    return cli.run(lambda: export_and_print(options), "export.py")


if __name__ == "__main__":
    sys.exit(main())
