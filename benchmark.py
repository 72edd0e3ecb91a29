"""Benchmarks: speed, losses compared, prediction.

    python benchmark.py throughput --dataset 300W --raw DIR --data-dir data

compares training images/s of the real pipeline, its moved faces made on the host and on the device, with the same
network on random arrays already in memory and with an eager loop as the original's, and measures preparation and peak
memory; KERAS_BACKEND=jax or torch measures them there (without the eager loop, which is TensorFlow's).

    python benchmark.py steps --dataset 300W

measures what each loss adds to a training step.

    python benchmark.py losses --dataset 300W --methods acr,l2 --seeds 7,8,9 --jobs 2 --out results/losses

trains every method on every network with every seed, and compares them. It can be killed at any time; the same command
goes on.

    python benchmark.py inference --weights runs/acr/best.keras
    python benchmark.py inference --input-size 224 --threads 2

compares Keras, ONNX Runtime and LiteRT on batches of 1, 8 and 32 faces, trained or with random weights. With --picture
FILE, a photograph of faces, and --weights it also gives the whole path of predict.py by stage.
"""

import argparse
import os
import sys
from collections.abc import Sequence

from benchmarks.config import STEP_METHODS
from benchmarks.inference_speed import inference
from benchmarks.loss_speed import step_times
from benchmarks.losses import bench_losses
from benchmarks.training_speed import throughput
from cnn_model import NETWORKS
from config import CROPS, DATA_DIR, DEFAULT_CROP, SEED, ModelArch
from face_datasets.catalogue import TITLES
from methods import METHODS
from train import AUGMENT_ON
from training.recipes import RECIPES


def losses(options: argparse.Namespace) -> None:
    """Trains and compares, and prints the table of `python benchmark.py losses`."""
    files = bench_losses(options)
    print(files[0].read_text(encoding="utf-8"))
    print("\n".join(map(str, files)))


def names(text: str) -> list[str]:
    """A comma-separated list of the command line."""
    return list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))


def seeds(text: str) -> list[int]:
    """A comma-separated list of seeds."""
    return [int(seed) for seed in names(text)]


def rates(text: str) -> dict[str, float]:
    """Learning rates by method, of the command line."""
    try:
        return {method: float(rate) for method, rate in (item.split("=") for item in names(text))}
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"received {text!r}; METHOD=RATE, with commas between, is right") from error


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(description="Speed, losses compared, prediction.")
    tables = parser.add_subparsers(required=True)
    throughput_of = tables.add_parser("throughput", help="training images/s, preparation faces/s, peak memory")
    throughput_of.add_argument("--raw", help="the unpacked data set, to measure preparation too")
    throughput_of.add_argument("--preparations", type=int, default=3, help="times the data set is prepared anew")
    throughput_of.set_defaults(run=throughput)
    steps_of = tables.add_parser("steps", help="what each loss adds to a training step")
    steps_of.set_defaults(run=step_times)
    add = throughput_of.add_argument
    add("--method", default="acr", choices=[*METHODS], help="what is trained (default: %(default)s)")
    add("--processor-time", action="store_true", help="count the processor's seconds: for a machine that is not idle")
    add("--samplers", type=names, default=[*AUGMENT_ON], help="cpu, gpu, or both with a comma between")
    for table, block in ((throughput_of, 10), (steps_of, 30)):
        table.add_argument("--recipe", choices=sorted(RECIPES), help="for its fused steps and moves")
        table.add_argument("--arch", default=ModelArch.MNV2, choices=[*map(str, NETWORKS)], help="the network")
        table.add_argument("--input-size", type=int, default=224, help="side of the input in pixels")
        table.add_argument("--batch-size", type=int, default=32, help="images of a step")
        table.add_argument("--steps", type=int, default=block, help="steps of a block")
        table.add_argument("--blocks", type=int, default=5, help="blocks of each way")
    losses_of = tables.add_parser("losses", help="methods x networks x seeds, trained and compared")
    losses_of.add_argument("--archs", type=names, default=[str(ModelArch.MNV2)], help="networks, with commas between")
    losses_of.add_argument("--seeds", type=seeds, default=[SEED, SEED + 1, SEED + 2], help="seeds, with commas between")
    losses_of.add_argument("--recipe", choices=sorted(RECIPES), help="rates and moves; the data set's own by default")
    losses_of.add_argument("--crop", default=DEFAULT_CROP, choices=sorted(CROPS), help="the region the network sees")
    losses_of.add_argument("--epochs", type=int, help="instead of the recipe's")
    losses_of.add_argument("--input-size", type=int, help="side of the input in pixels, instead of the recipe's")
    losses_of.add_argument("--batch-size", type=int, help="instead of the recipe's")
    losses_of.add_argument("--rates", type=rates, default={}, help="learning rates: METHOD=RATE, with commas between")
    losses_of.add_argument("--max-faces", type=int, help="how many of the training faces to use, drawn at random")
    losses_of.add_argument("--precision", default="float32", help="Keras dtype policy of all runs")
    losses_of.add_argument("--jobs", type=int, default=1, help="trainings side by side, with one thread each")
    losses_of.add_argument("--run-dir", dest="run_dirs", action="append", default=[], help="use finished runs below it")
    losses_of.add_argument("--out", required=True, help="folder for runs, tables and pictures")
    losses_of.set_defaults(run=losses)
    for table in (throughput_of, steps_of, losses_of):
        table.add_argument("--dataset", default="synthetic", help=f"one of {TITLES}; prepared")
        table.add_argument("--data-dir", default=DATA_DIR, help="the data root")
    regression = [name for name, method in METHODS.items() if not method.own_head]
    steps_of.add_argument("--methods", type=names, default=[*STEP_METHODS], help="with commas between; beside l2")
    losses_of.add_argument(
        "--methods", type=names, default=regression, help="with commas between; all on the usual head"
    )
    latency = tables.add_parser("inference", help="milliseconds of a batch in Keras, ONNX Runtime and LiteRT, memory")
    latency.add_argument("--weights", help="a .keras file of train.py, or an old .h5; random weights without it")
    latency.add_argument("--dataset", default="300W", help="whose landmarks the random network predicts")
    latency.add_argument("--arch", default=ModelArch.MNV2, choices=[*map(str, NETWORKS)], help="the random network")
    latency.add_argument("--input-size", type=int, default=224, help="side of its input in pixels")
    latency.add_argument("--threads", type=int, default=os.cpu_count(), help="of every runtime")
    latency.add_argument("--batches", type=int, nargs="+", default=[1, 8, 32], help="faces that are predicted at once")
    latency.add_argument("--images", type=int, default=64, help="faces of a block")
    latency.add_argument("--blocks", type=int, default=9, help="blocks of each way")
    latency.add_argument("--picture", help="a photograph of faces, for the whole path by stage; needs --weights")
    latency.set_defaults(run=inference)
    options = parser.parse_args(arguments)
    if getattr(options, "picture", None) and not options.weights:
        parser.error("--picture needs --weights, which find the landmarks in it")
    try:
        options.run(options)
    except KeyboardInterrupt:
        print("\nbenchmark.py: stopped; `losses` goes on with the same command", file=sys.stderr)
        return 130
    except (OSError, ValueError, RuntimeError, ImportError) as error:
        print(f"benchmark.py: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
