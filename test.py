"""Evaluation: one path for every data set, network and method.

    python test.py --dataset 300W --weights runs/acr/best.keras --out runs/acr
    python test.py --dataset 300W --weights pre_trained_models/300w/EF_3/300w_EF3_ACRLoss.h5 --out results/ef3 --flip

    python test.py --dataset FRL --weights runs/ace/best.keras --out results/ace_frl
    python test.py --dataset synthetic --landmarks data/synthetic/truth_test.json --contours line --out results/gt68

The folder then holds metrics.json (every number with its normaliser, threshold, subset, n and official n; and what was
evaluated: weights or landmarks, crop, split, flip, and how landmarks were joined), predictions.json (landmarks in
image pixels, which metrics.py reads again), ced.png and worst.png. Weights that predict anchors and contours, or
landmarks joined to contours (--contours), are scored by NME^AC. In a notebook:

    Test().test_model(DatasetName.w300, "runs/acr/best.keras")
"""

import argparse
import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
from tqdm import tqdm

import metrics
from ace_net.contours import (
    CURVES,
    OUTLINE_LAYOUT,
    entry_of,
    outlines_of,
    outlines_of_landmarks,
)
from cnn_model import LEGACY_SETTINGS, find_weights, load_model, settings_of
from config import (
    CONTOUR_TRUTH_FILE,
    CROPS,
    DATA_DIR,
    DEFAULT_CROP,
    EVALUATED_SPLITS,
    EVALUATION_BATCH,
    METRICS_FILE,
    PICTURE_SIZE,
    PREDICTIONS_FILE,
    TITLES,
    WORST_FACES,
    Crop,
    Dataset,
    DatasetName,
    crop_of,
    dataset_of,
)
from figures import draw_ced, draw_outline_ced, draw_worst
from image_utility import invert, mirror_landmarks, transform
from landmark_files import read_entries
from landmark_layouts import LAYOUT_68, SPARSE_LANDMARKS, Layout
from methods import METHODS, Method, method_of, read_by
from prepared_faces import Faces, crop_batches, load_faces
from safe_files import write_json

DECIMALS = 4  # of a pixel, in predictions.json


def predict_faces(
    model: keras.Model,
    method: Method,
    faces: Faces,
    crop: Crop,
    batch_size: int = EVALUATION_BATCH,
    flip: bool = False,
    progress: bool = False,
    layout: Layout | None = None,
) -> np.ndarray:
    """Landmarks of every face, in its order: crop, predict, map back.

    Args:
        model: takes images (batch, size, size, 3) in [0, 1]; its predictions are what `method` decodes.
        flip: average with the prediction for the mirrored crop.
        progress: show a bar, on a terminal.
        layout: of the predictions, where it is not the method's for the faces' data set.

    Returns:
        (n, points, 2) float64 in pixels of the image as the set ships it.

    Raises:
        ValueError: the model predicts another number of landmarks than the data set has.
    """
    size, layout = model.input_shape[1], layout or method.layout(faces.dataset)
    batch_size = min(batch_size, len(faces))

    def decode(images: np.ndarray) -> np.ndarray:
        """Landmarks (batch, points, 2) in crop pixels."""
        landmarks = np.asarray(method.decode(model.predict_on_batch(images), size), np.float64)
        if landmarks.shape[1:] != (layout.points, 2):
            raise ValueError(
                f"the model does not fit {faces.dataset.title}. Received predictions of shape {landmarks.shape[1:]}; "
                f"({layout.points}, 2) is right"
            )
        return landmarks

    predicted = []
    batches = crop_batches(faces, crop, size, batch_size)
    for images, matrices in tqdm(
        batches, total=-(-len(faces) // batch_size), unit="batch", disable=None if progress else True
    ):
        count = len(images)
        images = np.pad(images, [(0, batch_size - count), (0, 0), (0, 0), (0, 0)])  # one shape, so one trace
        landmarks = decode(images)
        if flip:
            mirrored = decode(np.ascontiguousarray(images[:, :, ::-1]))
            mirrored[..., 0] = size - 1 - mirrored[..., 0]  # the column that reversing the pixels gives
            landmarks = (landmarks + mirror_landmarks(mirrored, layout)) / 2
        predicted.append(transform(landmarks[:count], invert(matrices)))
    return np.concatenate(predicted)


def scorer(method: Method, faces: Faces, data_dir: str | os.PathLike) -> Callable[[np.ndarray], np.ndarray]:
    """What gives the errors (faces,) in percent of predictions (faces, points, 2): their NME, of outlines NME^AC."""
    if method.contours:
        truth = outlines_of(faces, data_dir)
        return lambda predicted: metrics.outline_nme(predicted, truth)
    return faces.nme


class Test:
    """The original's evaluation call."""

    __test__ = False  # pytest takes every class of this name for a collection of tests

    def test_model(
        self,
        ds_name: DatasetName | str,
        pretrained_model_path: str | os.PathLike,
        data_dir: str | os.PathLike = DATA_DIR,
        out: str | os.PathLike | None = None,
        crop: str | None = None,
        split: str = "test",
        method: str | None = None,
        flip: bool = False,
        decoder: str | None = None,
        contours: str | None = None,
        sparse: bool = False,
    ) -> dict:
        """Evaluates weights on a prepared data set, prints the table, and returns the content of metrics.json.

        Args:
            ds_name: the data set, prepared by data_helper.py below `data_dir`.
            pretrained_model_path: a .keras or .h5 file; cnn_model.find_weights says where else it is looked for.
            out: folder for metrics.json, predictions.json, ced.png and worst.png; None writes nothing.
            crop, method: the ones saved beside the weights where None.
            split: "test", "private" or "validation".
            flip: average with the prediction for the mirrored crop.
            decoder: of the method, see methods.Method.decoders; its usual one where None.
            contours: "line" or "interp": take the predicted landmarks for contours joined so, and score these.
            sparse: join only the 36 landmarks of landmark_layouts.SPARSE_LANDMARKS.

        Raises:
            FileNotFoundError: no such weights, or a data set that is not prepared.
            ValueError: unknown data set, crop, split, method or decoder, weights of another landmark count, bad file,
                or `flip`, `contours` or `sparse` for weights that predict contours.
        """
        dataset = dataset_of(ds_name)
        if split not in EVALUATED_SPLITS:
            raise ValueError(f"unknown split. Received {split!r}; known: {', '.join(EVALUATED_SPLITS)}")
        path = find_weights(pretrained_model_path)
        settings = settings_of(path)
        chosen = _choose_crop(crop, settings, path)
        row = read_by(method_of(method or settings.get("method", LEGACY_SETTINGS["method"])), decoder)
        asked = [name for name, wanted in (("flip", flip), ("contours", contours), ("sparse", sparse)) if wanted]
        if row.contours and asked:
            raise ValueError(f"{path} predicts contours, not landmarks. Received {', '.join(asked)}; none is right")
        if sparse and contours is None:
            raise ValueError("sparse landmarks are joined to contours. Received sparse alone; contours too is right")
        model = load_model(path)
        joins = contours is not None
        trained_on = dataset_of(settings.get("dataset", dataset.name)) if joins else dataset
        if not row.contours:
            _check_outputs(model, trained_on, path)

        faces = load_faces(data_dir, dataset.name, split, model.input_shape[1])
        layout = row.layout(trained_on)
        predicted = predict_faces(model, row, faces, chosen, flip=flip, progress=True, layout=layout)
        predicted = predicted.round(DECIMALS)  # as in predictions.json, so that metrics.py gives the same numbers
        facts = {"weights": path.name, "crop": chosen.name, "split": split}
        if joins or row.contours:
            print(f"{path}, crop {chosen.name}, {split} split{f', landmarks joined: {contours}' if joins else ''}")
            outlines = outlines_of_landmarks(predicted, layout, contours, sparse) if joins else predicted
            facts |= {"flip": flip, "contours": contours, "sparse": sparse} if joins else {}
            return evaluate_outlines(outlines, faces, data_dir, out, chosen, model.input_shape[1], facts)
        official = dataset.subsets.get(split, {})
        evaluation = metrics.evaluate(
            predicted, faces.landmarks, dataset, faces.subsets, official, names=faces.names, boxes=faces.boxes
        )
        evaluation |= {**facts, "flip": flip}
        print(f"{path}, crop {chosen.name}, {split} split{', averaged with the mirrored crop' if flip else ''}")
        print(metrics.table(evaluation, official))
        _print_missing(faces)
        if out is not None:
            _write(Path(out), faces, predicted, evaluation, chosen, model.input_shape[1])
        return evaluation


def evaluate_outlines(
    predicted: np.ndarray,
    faces: Faces,
    data_dir: str | os.PathLike,
    out: str | os.PathLike | None,
    crop: Crop,
    size: int,
    facts: dict,
) -> dict:
    """Scores outlines (faces, OUTLINE, 2) in image pixels by NME^AC, prints the table, and returns metrics.json, which
    also holds the facts.

    The truth is exact for rendered faces; of others it is their landmarks.
    """
    truth = outlines_of(faces, data_dir)
    official = faces.dataset.subsets.get(faces.split, {})
    found, true = metrics.split_outlines(predicted), metrics.split_outlines(truth)
    evaluation, nmes = metrics.evaluate_outlines(found, true, faces.dataset, faces.subsets, official)
    evaluation |= facts
    print(metrics.outline_table(evaluation))
    _print_missing(faces)
    if out is None:
        return evaluation
    out = Path(out)
    write_json(out / METRICS_FILE, evaluation)
    for file, outlines in ((PREDICTIONS_FILE, predicted), (CONTOUR_TRUTH_FILE, truth)):
        pairs = zip(faces.names, faces.subsets, outlines, strict=True)
        entries = [{"image": name, "subsets": names, **entry_of(face, DECIMALS)} for name, names, face in pairs]
        write_json(out / file, entries, indent=None)
    draw_outline_ced(out / "ced.png", nmes, evaluation)
    _draw_worst(out, faces, nmes, truth, predicted, OUTLINE_LAYOUT, "NME^AC", crop, size)
    return evaluation


def evaluate_landmark_file(
    path: str | os.PathLike,
    dataset: Dataset,
    data_dir: str | os.PathLike,
    out: str | os.PathLike | None,
    split: str,
    contours: str,
    sparse: bool = False,
    crop: str = DEFAULT_CROP,
) -> dict:
    """Scores the contours that landmarks of a file draw: GT68-line and its like, or anybody's predictions.

    Args:
        path: a file as metrics.py reads it, of 68 landmarks. Its faces are those of the data set by name, or by the
            picture's name without its folder (HELEN's faces have other folders in 300W).
        contours, sparse: as Test.test_model takes them.

    Raises:
        ValueError: a bad file, or a face without landmarks.
    """
    faces = load_faces(data_dir, dataset.name, split, PICTURE_SIZE)
    read = read_entries(path, LAYOUT_68.points)
    by_name = {Path(name).name: entry for name, entry in read.items()} | read
    lacking = [name for name in faces.names if name not in by_name and Path(name).name not in by_name]
    if lacking:
        raise ValueError(f"{path} lacks {len(lacking)} of {len(faces)} faces. Received no landmarks of {lacking[0]!r}")
    landmarks = np.stack([by_name.get(name, by_name.get(Path(name).name)).landmarks for name in faces.names])
    outlines = outlines_of_landmarks(landmarks, LAYOUT_68, contours, sparse).round(DECIMALS)
    joined = len(SPARSE_LANDMARKS) if sparse else LAYOUT_68.points
    print(f"{path}, {joined} landmarks joined: {contours}, {split} split")
    facts = {"landmarks": Path(path).name, "split": split, "contours": contours, "sparse": sparse}
    return evaluate_outlines(outlines, faces, data_dir, out, crop_of(crop), PICTURE_SIZE, facts)


def _choose_crop(name: str | None, settings: dict, path: Path) -> Crop:
    """The crop asked for, or else the one that the weights were trained with; warns where the two differ."""
    trained = settings.get("crop")
    if name is None and trained is None:
        raise ValueError(
            f"nothing says which crop {path} was trained with. Received no settings beside it; give --crop"
        )
    chosen = crop_of(name or trained)
    if trained is not None and chosen.name != trained:
        warnings.warn(f"{path} goes with the crop {trained!r}. Received {name!r}: expect larger errors", stacklevel=3)
    return chosen


def _check_outputs(model: keras.Model, dataset: Dataset, path: Path) -> None:
    """Raises ValueError where flat outputs are not x and y of every landmark of the data set."""
    shape = model.output_shape
    if isinstance(shape, tuple) and len(shape) == 2 and shape[1] != dataset.outputs:
        points = dataset.layout.points
        raise ValueError(
            f"{path} is not for {dataset.title}. Received {shape[1]} outputs ({shape[1] / 2:g} landmarks); "
            f"{dataset.outputs} ({points} landmarks) are right"
        )


def _print_missing(faces: Faces) -> None:
    """Says which parts of the evaluated split were not there when the data set was prepared."""
    missing = [f"{part['part']} ({part['count']} faces)" for part in faces.missing]
    if missing:
        print(f"not evaluated, since not found by data_helper.py: {', '.join(missing)}")


def _write(out: Path, faces: Faces, predicted: np.ndarray, evaluation: dict, crop: Crop, size: int) -> None:
    """Writes the numbers, the predictions (n, points, 2) in image pixels, and both pictures."""
    write_json(out / METRICS_FILE, evaluation)
    entries = [{"image": name, "landmarks": face.tolist()} for name, face in zip(faces.names, predicted, strict=True)]
    write_json(out / PREDICTIONS_FILE, entries, indent=None)
    nmes = faces.nme(predicted)
    draw_ced(out / "ced.png", nmes, metrics.subset_masks(faces.dataset, faces.subsets), evaluation)
    measure = f"{evaluation['normaliser']} NME"
    _draw_worst(out, faces, nmes, faces.landmarks, predicted, faces.dataset.layout, measure, crop, size)


def _draw_worst(
    out: Path,
    faces: Faces,
    errors: np.ndarray,
    truth: np.ndarray,
    predicted: np.ndarray,
    layout: Layout,
    measure: str,
    crop: Crop,
    size: int,
) -> None:
    """Draws the faces of the largest errors (n,) in percent of a measure, with truth and predictions (n, points, 2) in
    image pixels, each in its crop of `size` pixels."""
    worst = np.argsort(-errors, kind="stable")[:WORST_FACES]
    images, matrices = faces.crops(crop, size, worst)
    draw_worst(
        out / "worst.png",
        images,
        transform(truth[worst], matrices),
        transform(predicted[worst], matrices),
        [f"{errors[i]:.1f} %\n{_end_of(faces.names[i])}" for i in worst],
        layout,
        f"{faces.dataset.title}, {faces.split}: the {len(worst)} worst of {len(faces)} faces, {measure}",
    )


def _end_of(name: str, most: int = 44) -> str:
    """A long image name, cut at the front so that it fits under a face."""
    return name if len(name) <= most else f"...{name[3 - most :]}"


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(description="Evaluate weights on a prepared data set.")
    parser.add_argument("--dataset", required=True, help=f"one of {TITLES}")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--weights", help="a .keras file of train.py, or an .h5 file of the original")
    source.add_argument("--landmarks", help="a JSON file of 68 landmarks, such as truth_test.json; needs --contours")
    parser.add_argument("--out", required=True, help="folder for numbers, predictions and pictures")
    parser.add_argument("--data-dir", default=DATA_DIR, help="the data root")
    parser.add_argument("--crop", choices=sorted(CROPS), help="the one saved beside the weights by default")
    parser.add_argument("--split", default="test", choices=EVALUATED_SPLITS, help="which faces")
    parser.add_argument("--flip", action="store_true", help="average with the prediction for the mirrored crop")
    decoders = sorted({name for method in METHODS.values() for name in method.decoders})
    parser.add_argument("--decoder", choices=decoders, help="how maps become landmarks; sub-pixel by default")
    parser.add_argument("--contours", choices=CURVES, help="join landmarks to contours and score these, by NME^AC")
    parser.add_argument("--sparse", action="store_true", help="join only 36 of the 68 landmarks")
    options = parser.parse_args(arguments)
    if not options.contours and (options.landmarks or options.sparse):
        parser.error("--landmarks and --sparse need --contours")
    if options.landmarks and (options.flip or options.decoder):
        parser.error("--flip and --decoder are for --weights")
    try:
        if options.landmarks:
            dataset, crop = dataset_of(options.dataset), options.crop or DEFAULT_CROP
            evaluate_landmark_file(
                options.landmarks,
                dataset,
                options.data_dir,
                options.out,
                options.split,
                options.contours,
                options.sparse,
                crop,
            )
            return 0
        Test().test_model(
            options.dataset,
            options.weights,
            data_dir=options.data_dir,
            out=options.out,
            crop=options.crop,
            split=options.split,
            flip=options.flip,
            decoder=options.decoder,
            contours=options.contours,
            sparse=options.sparse,
        )
    except (ValueError, OSError) as error:
        print(f"test.py: {error}", file=sys.stderr)
        return 1
    print(f"metrics.json, predictions.json, ced.png and worst.png are in {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
