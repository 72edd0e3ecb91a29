"""How large the terms of ACE-Net's loss are, with new weights and with trained ones: none may be swamped.

    python -m benchmarks.ace_net_terms --weights runs/ace/best.keras --data-dir data
    python -m benchmarks.ace_net_terms

The batches are those of the run itself, whose settings lie beside its weights; real faces, whose contours are weak, and
rendered ones stand apart, since in their mean each would halve the other's terms. Without weights perfect heatmaps take
the place of a network's, of rendered faces of which only 68 landmarks are told: those of the lines that join the
landmarks, and those of the true contours.
"""

import argparse
import sys
from collections.abc import Sequence

import keras
import numpy as np

from ace_net.config import FINE_STRIDE, LANDMARK_WEIGHT, LINE_WEIGHT
from ace_net.face_outlines import rendered_outline
from ace_net.losses import parts_of, terms
from ace_net.outlines import from_landmarks, get_contour_map
from ace_net.targets import MAPS, encode_weak, heatmaps, segments, weak_targets
from config import DATA_DIR
from face_datasets.catalogue import SYNTHETIC_SEEDS
from face_datasets.layouts import LAYOUT_68
from image_utility import to_grid
from methods import get_method
from networks.weights import load_model, settings_of
from synthetic_faces.face import get_landmarks
from train import Train

BATCHES = 8
PERFECT_FACES, PERFECT_SIZE = 32, 256
WEIGHTS = {"heat": 1.0, "far": 1.0, "landmark": LANDMARK_WEIGHT, "line": LINE_WEIGHT}


def term_sizes(
    model: keras.Model,
    losses: Sequence[keras.losses.Loss],
    batches: keras.utils.PyDataset,
    count: int = BATCHES,
) -> dict[str, dict[str, float]]:
    """Every term as it counts in the sum, its weight included: the mean over the "real" and over the "rendered" faces
    of `count` batches of a run whose `losses` are two HeatLoss and an ACELoss; nothing of faces that are not there."""
    numbers = dict(losses[-1].constants)
    weights = {name: numbers.pop(f"{name}_weight") for name in ("landmark", "line")}
    found, weak = {}, []
    for index in range(count):
        images, (coarse, _, fine) = batches[index]
        first, second, maps = model.predict_on_batch(images)
        parts = {"coarse 1": losses[0].call(coarse, first), "coarse 2": losses[1].call(coarse, second)}
        for name, part in (parts | terms(fine, maps, **numbers)).items():  # (batch,) each
            found.setdefault(name, []).append(keras.ops.convert_to_numpy(part) * weights.get(name, 1.0))
        weak.append(keras.ops.convert_to_numpy(parts_of(fine, maps.shape)[2]).any(axis=-1))  # (batch,)
    found, weak = {name: np.concatenate(parts) for name, parts in found.items()}, np.concatenate(weak)
    return {
        kind: {name: float(part[chosen].mean()) for name, part in found.items()}
        for kind, chosen in {"real": weak, "rendered": ~weak}.items()
        if chosen.any()
    }


def perfect_sizes() -> dict[str, dict[str, float]]:
    """The terms of the fine maps' loss, weights included, where the heat is perfect: "joined landmarks", whose anchors
    and lines are those of the targets, and "true contours", which pass through the landmarks as well."""
    seeds = range(SYNTHETIC_SEEDS["test"], SYNTHETIC_SEEDS["test"] + PERFECT_FACES)
    landmarks = np.stack([get_landmarks(seed) for seed in seeds]) * PERFECT_SIZE - 0.5
    told = from_landmarks(landmarks, get_contour_map(LAYOUT_68))
    exact = np.stack([rendered_outline(seed) for seed in seeds]) * PERFECT_SIZE - 0.5
    targets = weak_targets(told, PERFECT_SIZE, FINE_STRIDE)
    side, rows = PERFECT_SIZE // FINE_STRIDE, {}
    for name, outlines in (("joined landmarks", told), ("true contours", exact)):
        heat = heatmaps(*segments(to_grid(outlines, FINE_STRIDE)), (PERFECT_FACES, side, side, MAPS))
        sizes = {term: float(np.mean(keras.ops.convert_to_numpy(v))) for term, v in terms(targets, heat).items()}
        rows[name] = {term: WEIGHTS[term] * size for term, size in sizes.items()}
    return rows


def print_table(rows: dict[str, dict[str, float]]) -> None:
    """Prints the sizes, a line for each row."""
    columns = list(next(iter(rows.values())))
    print(f"{'':<18}" + "".join(f"{name:>10}" for name in columns))
    for name, row in rows.items():
        print(f"{name:<18}" + "".join(f"{row[term]:>10.4f}" for term in columns))


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(description="The sizes of the terms of ACE-Net's loss.")
    parser.add_argument(
        "--weights", help="of a run with the weak loss, --method ace for instance; perfect heatmaps without"
    )
    parser.add_argument("--data-dir", default=DATA_DIR, help="the data root it was trained on")
    parser.add_argument("--batches", type=int, default=BATCHES, help="training batches to look at")
    options = parser.parse_args(arguments)
    if options.weights is None:
        print_table(perfect_sizes())
        return 0
    try:
        settings = settings_of(options.weights)
        method = get_method(settings.get("method"))
        if method.codec.encode is not encode_weak:
            raise ValueError(f"{options.weights} has no such terms. Received the method {method.name}; ace is right")
        run = Train.of_settings(settings, options.data_dir, save_path=".")
        batches, losses = run.batches(), method.loss(options.data_dir, run.dataset, run.crop.name)
        keras.utils.set_random_seed(run.seed)
        models = {"new": run.compiled(batches.steps_per_epoch)[0], "trained": load_model(options.weights)}
        rows = {
            f"{name}, {kind}": row
            for name, model in models.items()
            for kind, row in term_sizes(model, losses, batches, options.batches).items()
        }
    except (OSError, ValueError) as error:
        print(f"measure: {error}", file=sys.stderr)
        return 1
    print_table(rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
