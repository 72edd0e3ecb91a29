"""Command-line options that several benchmarks share."""

import argparse

from config import DATA_DIR, ModelArch
from face_datasets.catalogue import TITLES


def names(text: str) -> list[str]:
    """Return the entries of a comma-separated list, each once."""
    return list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))


def seeds(text: str) -> list[int]:
    """Return the seeds of a comma-separated list."""
    return [int(seed) for seed in names(text)]


def learning_rates(text: str) -> dict[str, float]:
    """Return the learning rate of each method in a list like "l1=0.001,l2=0.002".

    Raises:
        argparse.ArgumentTypeError: an entry without a rate.
    """
    try:
        return {method: float(rate) for method, rate in (item.split("=") for item in names(text))}
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"expected METHOD=RATE,... Received {text!r}") from error


def add_data_options(parser: argparse.ArgumentParser, default: str = "synthetic", required: bool = False) -> None:
    """Add --dataset and --data-dir to a parser."""
    end = "" if required else f"; default: {default}"
    parser.add_argument(
        "--dataset", default=default, required=required, help=f"data set, prepared: one of {TITLES}{end}"
    )
    parser.add_argument("--data-dir", default=DATA_DIR, help="data root; default: %(default)s")


def add_training_options(parser: argparse.ArgumentParser, steps: int) -> None:
    """Add the options of measured training steps to a parser.

    Args:
        steps: default number of steps of a block.
    """
    add_data_options(parser)
    parser.add_argument("--recipe", help="recipe of the training; default: the data set's")
    parser.add_argument("--arch", default=ModelArch.MNV2, choices=[*map(str, ModelArch)], metavar="ARCH", help=ARCH)
    parser.add_argument("--input-size", type=int, default=224, help="side of the input in pixels; default: %(default)s")
    parser.add_argument("--batch-size", type=int, default=32, help="images of a step; default: %(default)s")
    parser.add_argument("--steps", type=int, default=steps, help="steps of a block; default: %(default)s")
    parser.add_argument("--blocks", type=int, default=5, help="blocks of each training; default: %(default)s")


ARCH = f"network: one of {', '.join(ModelArch)}; default: %(default)s"
