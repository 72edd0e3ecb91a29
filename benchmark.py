"""Benchmarks: the tables of the README.

    python benchmark.py throughput --dataset 300W --raw DIR --data-dir data

compares training images/s of the real pipeline with the same network on random arrays already in memory and with an
eager loop as the original's, and measures preparation and peak memory. Blocks of the compared ways take turns, so that
a machine whose speed drifts treats them alike; the table gives medians and their spread.

    python benchmark.py inference --weights runs/acr/best.keras
    python benchmark.py inference --input-size 224 --threads 2

compares Keras, ONNX Runtime and LiteRT on batches of 1, 8 and 32 faces, trained or with random weights. With --picture
FILE, a photograph of faces, and --weights it also gives the whole path of predict.py by stage.
"""

import argparse
import dataclasses
import multiprocessing
import os
import platform
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import keras
import numpy as np
from tqdm import tqdm

from acr_loss import acr_loss, difficulty
from config import (
    CROPS,
    DATA_DIR,
    DEFAULT_CROP,
    NETWORKS,
    PCA_PERCENTAGES,
    SEED,
    TITLES,
    Dataset,
    ModelArch,
    dataset_of,
    recipe_of,
)
from face_batches import Faces, TrainingBatches, read_index
from methods import method_of
from pca_utility import ShapeModel, eigenbasis_path, labels_folder, pca_folder
from runtime import load_network
from train import Train

ORIGINAL_BATCH = 3  # faces of a step in the original's training loop
WARM_UP = 4  # steps before the clock of a block starts


class BlockClock(keras.callbacks.Callback):
    """Seconds from the end of the warm-up to the end of a block."""

    def on_train_batch_end(self, batch, logs=None):
        if batch == WARM_UP - 1:
            self._started = time.perf_counter()

    def on_train_end(self, logs=None):
        self.seconds = time.perf_counter() - self._started


def training_block(model: keras.Model, steps: int, images: int, **data) -> float:
    """Images per second of `steps` training steps of so many images, after the warm-up; `data` is what `fit` is fed."""
    clock = BlockClock()
    model.fit(**data, steps_per_epoch=WARM_UP + steps, verbose=0, shuffle=False, callbacks=[clock])
    return steps * images / clock.seconds


def original_block(model: keras.Model, faces: Faces, labels_path: Path, steps: int) -> float:
    """Images per second of an eager loop as the original's: three faces a step, eigenbases loaded for every face."""
    import tensorflow as tf

    optimizer = keras.optimizers.Adam(1e-3)
    size = model.input_shape[1]
    recipe = dataclasses.replace(recipe_of(faces.dataset), batch_size=ORIGINAL_BATCH, input_size=size)
    batches = TrainingBatches(faces, CROPS[DEFAULT_CROP], recipe, method_of("acr").encode, SEED)
    basis = eigenbasis_path(pca_folder(labels_path), faces.dataset, PCA_PERCENTAGES[0])

    def step(number: int) -> None:
        images, targets = batches[number]
        smooth = [ShapeModel.load(basis).smooth(target[None])[0] for target in targets]
        phi = difficulty(targets, np.array(smooth, np.float32))  # (3, 2N)
        with tf.GradientTape() as tape:
            loss = acr_loss(targets, model(images, training=True), phi)
        optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)

    step(0)
    started = time.perf_counter()
    for number in range(1, steps + 1):
        step(number)
    return steps * ORIGINAL_BATCH / (time.perf_counter() - started)


_TIMED = """
import resource, subprocess, sys, time
started = time.perf_counter()
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
print(time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)
"""  # in a small process of its own: a child's peak memory begins with that of the process it was forked from


def preparation(dataset: Dataset, raw_dir: str | None) -> tuple[float, float]:
    """Faces/s of data_helper.py into an empty folder, start of Python included, and MiB of its largest process."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "data_helper.py", "--dataset", dataset.title, "--out", folder]
        command += ["--raw", raw_dir] if raw_dir else []
        timed = subprocess.run([sys.executable, "-c", _TIMED, *command], check=True, capture_output=True, text=True)
        seconds, peak = map(float, timed.stdout.split())
        return len(read_index(folder, dataset)["faces"]) / seconds, peak


def training_memory(options: argparse.Namespace) -> float:
    """Trains a few steps; gives the peak memory of this process in MiB."""
    model, batches = training_of(options)
    training_block(model, 3, options.batch_size, x=batches)
    return peak_memory()


def peak_memory() -> float:
    """The most memory this process has held since it began, in MiB."""
    status = Path("/proc/self/status")
    if status.exists():  # Linux, where getrusage would begin with the memory of the parent
        return int(re.search(r"VmHWM:\s*(\d+)", status.read_text()).group(1)) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def training_of(options: argparse.Namespace) -> tuple[keras.Model, TrainingBatches]:
    """The compiled network and the batches of a training with ACR Loss."""
    run = Train(
        options.arch,
        options.dataset,
        save_path=".",
        data_dir=options.data_dir,
        input_size=options.input_size,
        batch_size=options.batch_size,
    )
    batches = run.batches()
    return run.compiled(batches.steps_per_epoch)[0], batches


def row(title: str, values: list[float], unit: str) -> str:
    """One line of the table: median, smallest and largest."""
    return f"{title:<50}{np.median(values):9.2f}{min(values):9.2f}{max(values):9.2f}  {unit}"


def throughput(options: argparse.Namespace) -> None:
    """Prints the table of `python benchmark.py throughput`."""
    dataset, size = dataset_of(options.dataset), options.input_size
    batch_size, steps = options.batch_size, options.steps
    model, batches = training_of(options)
    eager, _ = training_of(options)
    rng = np.random.default_rng(SEED)
    count = batch_size * (WARM_UP + steps)
    in_memory = {
        "x": rng.random((count, size, size, 3), np.float32),
        "y": rng.uniform(-0.5, 0.5, (count, dataset.outputs)).astype(np.float32),
        "batch_size": batch_size,
    }
    labels_path = labels_folder(options.data_dir, dataset, DEFAULT_CROP)
    ways = {
        "pipeline": lambda: training_block(model, steps, batch_size, x=batches),
        "random arrays in memory": lambda: training_block(model, steps, batch_size, **in_memory),
        "eager loop, batch of 3": lambda: original_block(eager, batches.faces, labels_path, steps),
    }
    for way in ways.values():  # traces, and fills caches
        way()
    speeds = {name: [] for name in ways}
    for _ in tqdm(range(options.blocks), unit="round"):
        for name, way in ways.items():
            speeds[name].append(way())

    print(f"{options.arch}, {size} px, batch {batch_size}, {len(batches.faces)} {dataset.title} faces")
    print(f"{options.blocks} interleaved blocks of {steps} steps, {os.cpu_count()} cores, {platform.machine()}")
    print(f"Keras {keras.__version__} on {keras.backend.backend()}")
    print(f"{'':<50}{'median':>9}{'least':>9}{'most':>9}")
    for name, values in speeds.items():
        print(row(f"training, {name}", values, "images/s"))
    pipeline = np.array(speeds["pipeline"])
    for name in list(ways)[1:]:
        print(row(f"pipeline / {name}", list(pipeline / np.array(speeds[name])), "times"))
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:  # its memory is its own
        print(row("peak memory of training", [pool.submit(training_memory, options).result()], "MiB"))
    if options.raw or dataset.reader == "synthetic":
        runs = [preparation(dataset, options.raw) for _ in range(options.preparations)]
        print(row(f"preparing {dataset.title}", [speed for speed, _ in runs], "faces/s"))
        print(row("peak memory of preparing, its largest process", [peak for _, peak in runs], "MiB"))


def inference(options: argparse.Namespace) -> None:
    """Prints the table of `python benchmark.py inference`."""
    from inference_speed import exported_files, latencies, peak_memory, runs_of, set_keras_threads, untrained_network

    set_keras_threads(options.threads)
    if options.weights:
        network = load_network(options.weights)
    else:
        network = untrained_network(options.arch, dataset_of(options.dataset), options.input_size)
    with tempfile.TemporaryDirectory() as folder:
        files = exported_files(network, Path(folder))
        runs = runs_of(network, files, options.threads)
        size = network.input_size
        times = {batch: latencies(runs, size, batch, options.images, options.blocks) for batch in options.batches}
        peaks = peak_memory(network, files, Path(folder))
        sizes = {title: file.path.stat().st_size / 2**20 for title, file in files.items()}

    print(f"{options.weights or f'{options.arch} with random weights'}, {size} px, {network.points} landmarks")
    print(f"{options.threads} threads, {os.cpu_count()} cores, {platform.machine()}")
    print(f"{options.blocks} interleaved blocks of {options.images} images at least, means of blocks")
    print(f"{'':<50}{'median':>9}{'least':>9}{'most':>9}")
    for batch, ways in times.items():
        for title, values in ways.items():
            print(row(f"batch {batch}, {title}", values, f"ms {1000 * batch / np.median(values):9.1f} images/s"))
    for title, peak in peaks.items():
        print(row(f"peak memory of one face, {title}", [peak], "MiB"))
    for title, mebibytes in sizes.items():
        print(row(f"size of the file, {title}", [mebibytes], "MiB"))
    if options.picture:
        stages(options)


def stages(options: argparse.Namespace) -> None:
    """Prints the part of `python benchmark.py inference` about whole pictures."""
    from stage_speed import picture_memory, resized_pictures, stage_times

    with tempfile.TemporaryDirectory() as folder:
        pictures = resized_pictures(options.picture, Path(folder))
        times, counts = stage_times(options.weights, pictures, options.blocks)
        peaks = picture_memory(options.weights, pictures)
    for name, of_picture in times.items():
        for stage, values in of_picture.items():
            print(row(f"{name}, {counts[name]} faces, {stage}", values, "ms"))
        print(row(f"{name}, peak memory", [peaks[name]], "MiB"))


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(description="The tables of the README.")
    tables = parser.add_subparsers(required=True)
    speed = tables.add_parser("throughput", help="training images/s, preparation faces/s, peak memory")
    speed.add_argument("--dataset", default="synthetic", help=f"one of {TITLES}; prepared, with eigenbases")
    speed.add_argument("--raw", help="the unpacked data set, to measure preparation too")
    speed.add_argument("--data-dir", default=DATA_DIR, help="the data root")
    speed.add_argument("--arch", default=ModelArch.MNV2, choices=[*map(str, NETWORKS)], help="the network")
    speed.add_argument("--input-size", type=int, default=224, help="side of the input in pixels")
    speed.add_argument("--batch-size", type=int, default=32, help="images of a step")
    speed.add_argument("--steps", type=int, default=10, help="steps of a block")
    speed.add_argument("--blocks", type=int, default=5, help="blocks of each way")
    speed.add_argument("--preparations", type=int, default=3, help="times the data set is prepared anew")
    speed.set_defaults(run=throughput)
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
    except (OSError, ValueError, ImportError) as error:
        print(f"benchmark.py: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
