"""Sizes of the terms of ACE-Net's loss with new and with trained weights: no term should dominate.

    python -m benchmarks.ace_net_terms --weights runs/ace/best.keras --data-dir data
    python -m benchmarks.ace_net_terms

The batches are those of the run, whose settings lie beside its weights. Real faces, whose contours are weak, and
rendered ones are separate rows, because a mean over both would halve the terms of each. Without --weights perfect
heatmaps of rendered faces with 68 known landmarks are used: those of the lines that join the landmarks, and those of
the true contours.
"""

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ace_net.config import FINE_STRIDE, LANDMARK_WEIGHT, LINE_WEIGHT
from ace_net.face_outlines import rendered_outline
from ace_net.outlines import from_landmarks, get_contour_map
from ace_net.targets import MAPS, WeakTargets, encode_weak, heatmaps, to_segments, weak_targets
from config import DATA_DIR
from face_datasets.catalogue import SYNTHETIC_SEEDS
from face_datasets.layouts import LAYOUT_68
from image_utility import to_grid
from synthetic_faces.face import get_landmarks
from utils import cli

if TYPE_CHECKING:
    import keras

BATCHES = 8
PERFECT_FACES, PERFECT_SIZE = 32, 256
WEIGHTS = {"heat": 1.0, "far": 1.0, "landmark": LANDMARK_WEIGHT, "line": LINE_WEIGHT}


def term_sizes(
    model: "keras.Model",
    losses: Sequence["keras.losses.Loss"],
    batches: "keras.utils.PyDataset",
    count: int = BATCHES,
) -> dict[str, dict[str, float]]:
    """Return the mean of every term, multiplied by its weight, over real and over rendered faces.

    Args:
        model: network of a run.
        losses: losses of its outputs: two HeatLoss and an ACELoss.
        batches: its training batches.
        count: number of batches.

    Returns:
        "real" and "rendered", as far as the batches have such faces -> term -> size.
    """
    import keras

    from ace_net.losses import terms

    numbers = dict(losses[-1].constants)
    weights = {name: numbers.pop(f"{name}_weight") for name in ("landmark", "line")}
    found, weak = {}, []
    for index in range(count):
        images, (coarse, _, fine) = batches[index]
        first, second, maps = model.predict_on_batch(images)
        parts = {"coarse 1": losses[0].call(coarse, first), "coarse 2": losses[1].call(coarse, second)}
        for name, part in (parts | terms(fine, maps, **numbers)).items():  # (batch,) each
            found.setdefault(name, []).append(keras.ops.convert_to_numpy(part) * weights.get(name, 1.0))
        weak.append(keras.ops.convert_to_numpy(WeakTargets.unpack(fine, maps.shape).weak).any(axis=-1))  # (batch,)
    found, weak = {name: np.concatenate(parts) for name, parts in found.items()}, np.concatenate(weak)
    return {
        kind: {name: float(part[chosen].mean()) for name, part in found.items()}
        for kind, chosen in {"real": weak, "rendered": ~weak}.items()
        if chosen.any()
    }


def perfect_sizes() -> dict[str, dict[str, float]]:
    """Return the terms of the loss of the fine maps, multiplied by their weights, for perfect heatmaps.

    Returns:
        "joined landmarks", whose anchors and lines are those of the targets, and "true contours" -> term -> size.
    """
    import keras

    from ace_net.losses import terms

    seeds = range(SYNTHETIC_SEEDS["test"], SYNTHETIC_SEEDS["test"] + PERFECT_FACES)
    landmarks = np.stack([get_landmarks(seed) for seed in seeds]) * PERFECT_SIZE - 0.5
    told = from_landmarks(landmarks, get_contour_map(LAYOUT_68))
    exact = np.stack([rendered_outline(seed) for seed in seeds]) * PERFECT_SIZE - 0.5
    targets = weak_targets(told, PERFECT_SIZE, FINE_STRIDE).pack()
    side, rows = PERFECT_SIZE // FINE_STRIDE, {}
    for name, outlines in (("joined landmarks", told), ("true contours", exact)):
        heat = heatmaps(*to_segments(to_grid(outlines, FINE_STRIDE)), (PERFECT_FACES, side, side, MAPS))
        sizes = {term: float(np.mean(keras.ops.convert_to_numpy(v))) for term, v in terms(targets, heat).items()}
        rows[name] = {term: WEIGHTS[term] * size for term, size in sizes.items()}
    return rows


def print_table(rows: dict[str, dict[str, float]]) -> None:
    """Print the sizes, a line for each row."""
    columns = list(next(iter(rows.values())))
    print(f"{'':<18}" + "".join(f"{name:>10}" for name in columns))
    for name, row in rows.items():
        print(f"{name:<18}" + "".join(f"{row[term]:>10.4f}" for term in columns))


def measure(options: argparse.Namespace) -> None:
    """Print the table of the command line.

    Raises:
        OSError, ValueError: weights that cannot be read, or of another method.
    """
    import keras

    from methods import get_method
    from networks.weights import get_settings, load_model
    from train import RunConfig, Train

    if options.weights is None:
        print_table(perfect_sizes())
        return
    settings = get_settings(options.weights)
    method = get_method(settings.get("method"))
    if method.codec.encode is not encode_weak:
        raise ValueError(f"{options.weights} has no such terms. Received the method {method.name}; expected ace")
    run = Train(RunConfig.from_dict(settings, save_path=".", data_dir=options.data_dir))
    batches = run.batches()
    losses = method.loss(options.data_dir, run.dataset, run.crop.name, **run.config.loss_options)
    keras.utils.set_random_seed(run.config.seed)
    models = {"new": run.compiled(batches.steps_per_epoch)[0], "trained": load_model(options.weights)}
    print_table(
        {
            f"{name}, {kind}": row
            for name, model in models.items()
            for kind, row in term_sizes(model, losses, batches, options.batches).items()
        }
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    parser = argparse.ArgumentParser(description="Measure the sizes of the terms of ACE-Net's loss.")
    parser.add_argument(
        "--weights", help="weights of a run with the weak loss, such as --method ace; default: perfect heatmaps"
    )
    parser.add_argument("--data-dir", default=DATA_DIR, help="data root of the run; default: %(default)s")
    parser.add_argument("--batches", type=int, default=BATCHES, help="number of training batches; default: %(default)s")
    options = parser.parse_args(arguments)
    return cli.run(lambda: measure(options), "ace_net_terms")


if __name__ == "__main__":
    sys.exit(main())
