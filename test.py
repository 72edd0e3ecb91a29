"""Evaluation: one path for every data set, network and method.

    python test.py --dataset 300W --weights runs/acr/best.keras --out runs/acr
    python test.py --dataset 300W --weights pre_trained_models/300w/EF_3/300w_EF3_ACRLoss.h5 --out results/ef3
    python test.py --dataset 300W --weights runs/acr/best.keras --out results/flip --flip-test

    python test.py --dataset FRL --weights runs/ace/best.keras --out results/ace_frl
    python test.py --dataset synthetic --landmarks data/synthetic/truth_test.json --contours line --out results/gt68

The folder then holds metrics.json (every number with its normaliser, threshold, subset, n and official n; and what was
evaluated: weights or landmarks, crop, split, flip test, and how landmarks were joined), predictions.json (landmarks in
image pixels, which metrics.py reads again), ced.png and worst.png. Weights that predict anchors and contours, and
landmarks joined to contours (--contours), are scored by NME^AC. In a notebook:

    Test().test_model(DatasetName.w300, "runs/acr/best.keras")
"""

import argparse
import os
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from ace_net.outlines import CURVES, join_landmarks
from config import CROPS, DATA_DIR, DEFAULT_CROP, Crop, DatasetName, get_crop
from evaluation.contours import evaluate_landmark_file
from evaluation.evaluator import predict_faces, print_evaluation, write_evaluation
from face_datasets.catalogue import EVALUATED_SPLITS, TITLES, Dataset, get_dataset
from face_datasets.face_dataset import load_faces
from methods import DECIMALS, METHODS, ContourCodec, get_method
from utils import cli

if TYPE_CHECKING:
    import keras


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
        """Evaluate weights on a prepared data set, print the table, and return the content of metrics.json.

        Args:
            ds_name: the data set, prepared by data_helper.py below `data_dir`.
            pretrained_model_path: a .keras or .h5 file; networks.weights.find_weights lists where else it is searched.
            data_dir: data root; default: DATA_DIR.
            out: folder for metrics.json, predictions.json, ced.png and worst.png; None writes nothing.
            crop: name of the crop; default: the one saved beside the weights.
            split: "test", "private" or "validation"; default: "test".
            method: name of the method; default: the one saved beside the weights.
            flip: average with the prediction for the mirrored crop; default: False.
            decoder: one of the decoders of the method's codec; default: its usual one.
            contours: "line" or "interp" joins the predicted landmarks to contours, which are scored by NME^AC; default:
                None, which scores landmarks.
            sparse: join only the 36 landmarks of face_datasets.layouts.SPARSE_LANDMARKS; default: False.

        Raises:
            FileNotFoundError: no such weights, or a data set that is not prepared.
            ValueError: unknown data set, crop, split, method or decoder, weights of another landmark count, bad file,
                or `flip` or `contours` for weights that predict contours.
        """
        from networks.weights import LEGACY_SETTINGS, find_weights, get_settings, load_model

        dataset = get_dataset(ds_name)
        if split not in EVALUATED_SPLITS:
            raise ValueError(f"unknown split. Received {split!r}; known: {', '.join(EVALUATED_SPLITS)}")
        if sparse and contours is None:
            raise ValueError("sparse landmarks are joined to contours. Received sparse without contours")

        # Find the weights
        path = find_weights(pretrained_model_path)
        settings = get_settings(path)
        chosen = _choose_crop(crop, settings, path)
        codec = get_method(method or settings.get("method", LEGACY_SETTINGS["method"])).codec.with_decoder(decoder)
        if (flip or contours) and not codec.complete:
            received = ", ".join(name for name, given in (("flip", flip), ("contours", contours)) if given)
            raise ValueError(f"{path} predicts contours, not landmarks. Received {received}; expected none of these")

        # Load
        model = load_model(path)
        trained_on = get_dataset(settings.get("dataset", dataset.name)) if contours else dataset
        _check_outputs(model, trained_on, path)
        faces = load_faces(data_dir, dataset.name, split, model.input_shape[1])

        # Predict; rounded as in predictions.json, so that metrics.py gives the same numbers
        layout = codec.layout(trained_on)
        predicted = predict_faces(model, codec, faces, chosen, flip=flip, progress=True, layout=layout).round(DECIMALS)
        facts = {"weights": path.name, "crop": chosen.name, "split": split, "flip": flip}
        if contours:
            predicted, codec = join_landmarks(predicted, layout, contours, sparse), ContourCodec()
            facts |= {"contours": contours, "sparse": sparse}

        # Evaluate and write
        truth = codec.truth(faces, data_dir)
        evaluation = codec.evaluate(predicted, truth, faces) | facts
        joined = f", landmarks joined: {contours}" if contours else ""
        flipped = ", averaged with the mirrored crop" if flip else ""
        print(f"{path}, crop {chosen.name}, {split} split{joined}{flipped}")
        print_evaluation(evaluation, codec, faces)
        if out is not None:
            write_evaluation(out, evaluation, codec, faces, predicted, truth, chosen, model.input_shape[1])
        return evaluation


def _choose_crop(name: str | None, settings: dict, path: Path) -> Crop:
    """Return the crop of this name, or else the one of the training; warn if they differ."""
    trained = settings.get("crop")
    if name is None and trained is None:
        raise ValueError(f"unknown crop of {path}. Received no settings beside it; give --crop")
    chosen = get_crop(name or trained)
    if trained is not None and chosen.name != trained:
        warnings.warn(
            f"{path} was trained with the crop {trained!r}. Received {name!r}: expect larger errors", stacklevel=3
        )
    return chosen


def _check_outputs(model: "keras.Model", dataset: Dataset, path: Path) -> None:
    """Raise ValueError if flat outputs are not x and y of every landmark of the data set."""
    shape = model.output_shape
    if isinstance(shape, tuple) and len(shape) == 2 and shape[1] != dataset.outputs:
        raise ValueError(
            f"{path} is not for {dataset.title}. Received {shape[1]} outputs ({shape[1] / 2:g} landmarks); "
            f"expected {dataset.outputs} ({dataset.layout.points} landmarks)"
        )


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(description="Evaluate weights on a prepared data set.")
    parser.add_argument("--dataset", required=True, help=f"prepared data set, one of {TITLES}")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--weights", help="weights: a .keras file of train.py, or an .h5 file of the original")
    source.add_argument("--landmarks", help="JSON file of 68 landmarks, such as truth_test.json; with --contours")
    parser.add_argument("--out", required=True, help="folder for numbers, predictions and figures")
    parser.add_argument("--data-dir", default=DATA_DIR, help="data root; default: %(default)s")
    parser.add_argument("--crop", choices=sorted(CROPS), help="crop of the faces; default: that of the training")
    parser.add_argument(
        "--split", default="test", choices=EVALUATED_SPLITS, help="split of the data set; default: %(default)s"
    )
    parser.add_argument("--flip-test", action="store_true", help="average with the prediction for the mirrored crop")
    decoders = sorted({name for method in METHODS.values() for name in method.codec.decoders})
    parser.add_argument("--decoder", choices=decoders, help="decoder of heatmaps; default: the method's")
    parser.add_argument("--contours", choices=CURVES, help="curves that join landmarks to contours, scored by NME^AC")
    parser.add_argument("--sparse", action="store_true", help="contours through only 36 of the 68 landmarks")
    options = parser.parse_args(arguments)
    if not options.contours and (options.landmarks or options.sparse):
        parser.error("--landmarks and --sparse need --contours")
    if options.landmarks and (options.flip_test or options.decoder):
        parser.error("--flip-test and --decoder are for --weights")
    return cli.run(lambda: _evaluate(options), "test.py")


def _evaluate(options: argparse.Namespace) -> None:
    """Evaluate what the command line names."""
    if options.landmarks:
        evaluate_landmark_file(
            options.landmarks,
            get_dataset(options.dataset),
            options.data_dir,
            options.out,
            options.split,
            options.contours,
            options.sparse,
            options.crop or DEFAULT_CROP,
        )
    else:
        Test().test_model(
            options.dataset,
            options.weights,
            data_dir=options.data_dir,
            out=options.out,
            crop=options.crop,
            split=options.split,
            flip=options.flip_test,
            decoder=options.decoder,
            contours=options.contours,
            sparse=options.sparse,
        )
    print(f"metrics.json, predictions.json, ced.png and worst.png are in {options.out}")


if __name__ == "__main__":
    sys.exit(main())
