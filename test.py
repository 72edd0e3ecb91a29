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
from pathlib import Path

import keras

import metrics
from ace_net.outlines import CURVES, join_landmarks
from config import (
    CROPS,
    DATA_DIR,
    DEFAULT_CROP,
    Crop,
    DatasetName,
    get_crop,
)
from evaluation.contours import evaluate_landmark_file, evaluate_outlines
from evaluation.evaluator import (
    DECIMALS,
    _print_missing,
    _write,
    predict_faces,
)
from face_datasets.catalogue import EVALUATED_SPLITS, TITLES, Dataset, get_dataset
from face_datasets.face_dataset import load_faces
from methods import METHODS, get_method, read_by
from networks.weights import LEGACY_SETTINGS, find_weights, get_settings, load_model


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
        dataset = get_dataset(ds_name)
        if split not in EVALUATED_SPLITS:
            raise ValueError(f"unknown split. Received {split!r}; known: {', '.join(EVALUATED_SPLITS)}")
        path = find_weights(pretrained_model_path)
        settings = get_settings(path)
        chosen = _choose_crop(crop, settings, path)
        row = read_by(get_method(method or settings.get("method", LEGACY_SETTINGS["method"])), decoder)
        asked = [name for name, wanted in (("flip", flip), ("contours", contours), ("sparse", sparse)) if wanted]
        if row.contours and asked:
            raise ValueError(f"{path} predicts contours, not landmarks. Received {', '.join(asked)}; none is right")
        if sparse and contours is None:
            raise ValueError("sparse landmarks are joined to contours. Received sparse alone; contours too is right")
        model = load_model(path)
        joins = contours is not None
        trained_on = get_dataset(settings.get("dataset", dataset.name)) if joins else dataset
        if not row.contours:
            _check_outputs(model, trained_on, path)

        faces = load_faces(data_dir, dataset.name, split, model.input_shape[1])
        layout = row.layout(trained_on)
        predicted = predict_faces(model, row, faces, chosen, flip=flip, progress=True, layout=layout)
        predicted = predicted.round(DECIMALS)  # as in predictions.json, so that metrics.py gives the same numbers
        facts = {"weights": path.name, "crop": chosen.name, "split": split}
        if joins or row.contours:
            print(f"{path}, crop {chosen.name}, {split} split{f', landmarks joined: {contours}' if joins else ''}")
            outlines = join_landmarks(predicted, layout, contours, sparse) if joins else predicted
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


def _choose_crop(name: str | None, settings: dict, path: Path) -> Crop:
    """The crop asked for, or else the one that the weights were trained with; warns where the two differ."""
    trained = settings.get("crop")
    if name is None and trained is None:
        raise ValueError(
            f"nothing says which crop {path} was trained with. Received no settings beside it; give --crop"
        )
    chosen = get_crop(name or trained)
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
            dataset, crop = get_dataset(options.dataset), options.crop or DEFAULT_CROP
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
