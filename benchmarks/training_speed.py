"""Speed and memory of training and of preparation.

    python -m benchmarks.training_speed --dataset 300W --raw DIR --data-dir data

compares the images/s of a training, augmented on the CPU and on the GPU, with the same network on random arrays in
memory and with an eager loop like the original's, and measures preparation and peak memory. KERAS_BACKEND=jax or torch
measures these backends, without the eager loop, which needs TensorFlow.
"""

import argparse
import dataclasses
import functools
import multiprocessing
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.options import add_training_options, names
from benchmarks.timing import (
    DEFAULT_METHOD,
    block_steps,
    build_training,
    interleaved,
    print_machine,
    row,
    training_block,
)
from config import CROPS, DEFAULT_CROP, PCA_PERCENTAGES, ROOT, SEED
from face_datasets.catalogue import Dataset, get_dataset
from utils import cli
from utils.processes import peak_memory

if TYPE_CHECKING:
    import keras

    from face_datasets.face_dataset import FaceDataset
    from training.batches import AugmentedBatches

ORIGINAL_BATCH = 3  # faces of a step in the original's training loop


def original_block(
    model: "keras.Model",
    faces: "FaceDataset",
    labels_path: Path,
    steps: int,
    now: Callable[[], float] = time.perf_counter,
) -> float:
    """Return the images per second of an eager loop like the original's.

    Its steps have three faces, and it loads the eigenbasis for every face.

    Args:
        model: network, not necessarily compiled.
        faces: training faces.
        labels_path: folder of the normalised labels, beside the eigenbases.
        steps: timed steps, after one to warm up.
        now: clock; returns seconds.
    """
    import keras
    import tensorflow as tf

    from acr_loss import acr_loss, difficulty
    from methods import get_method
    from pca_utility import ShapeModel, eigenbasis_path, pca_folder
    from training.batches import AugmentedBatches, CPUAugmentation, Shuffled
    from training.recipes import get_recipe

    optimizer = keras.optimizers.Adam(1e-3)
    size = model.input_shape[1]
    recipe = dataclasses.replace(get_recipe(faces.dataset), batch_size=ORIGINAL_BATCH, input_size=size)
    order, augment, crop = Shuffled(len(faces), SEED), CPUAugmentation(size), CROPS[DEFAULT_CROP]
    batches = AugmentedBatches(faces, order, augment, crop, recipe, get_method("acr").codec.encode, SEED)
    basis = eigenbasis_path(pca_folder(labels_path), faces.dataset, PCA_PERCENTAGES[0])

    def step(number: int) -> None:
        images, targets = batches[number]
        smooth = [ShapeModel.load(basis).smooth(target[None])[0] for target in targets]
        phi = difficulty(targets, np.array(smooth, np.float32))  # (3, 2N)
        with tf.GradientTape() as tape:
            loss = keras.ops.mean(acr_loss(targets, model(images, training=True), phi))
        optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)

    step(0)
    started = now()
    for number in range(1, steps + 1):
        step(number)
    return steps * ORIGINAL_BATCH / (now() - started)


_TIMED = """
import resource, subprocess, sys, time
started = time.perf_counter()
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
print(time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)
"""  # in a small process of its own: a child's peak memory begins with that of the process it was forked from


def preparation(dataset: Dataset, raw_dir: str | None) -> tuple[float, float]:
    """Prepare a data set in an empty folder with data_helper.py.

    Returns:
        faces/s, start of Python included, and the memory of the largest process in MiB.
    """
    from face_datasets.face_dataset import read_index

    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, str(ROOT / "data_helper.py"), "--dataset", dataset.title, "--out", folder]
        command += ["--raw", raw_dir] if raw_dir else []
        timed = subprocess.run([sys.executable, "-c", _TIMED, *command], check=True, capture_output=True, text=True)
        seconds, peak = map(float, timed.stdout.split())
        return len(read_index(folder, dataset)["faces"]) / seconds, peak


def batch_times(batches: "AugmentedBatches", count: int) -> list[float]:
    """Return the milliseconds that each of some batches takes until its images are computed."""
    import keras

    times = []
    for step in range(count):
        started = time.perf_counter()
        images, _ = batches[step]
        np.asarray(keras.ops.convert_to_numpy(images[:1, :1, :1]))  # waits for the device
        times.append(1000 * (time.perf_counter() - started))
    return times


def training_memory(options: argparse.Namespace) -> float:
    """Train a few steps and return the peak memory of this process in MiB."""
    model, batches = build_training(options, options.method)
    training_block(model, 3, options.batch_size, x=batches)
    return peak_memory()


def gpu_memory() -> float | None:
    """Return the peak memory of this process on its first GPU in MiB, None without a GPU."""
    import keras

    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        statistics = jax.local_devices()[0].memory_stats()  # None on a CPU
        return statistics["peak_bytes_in_use"] / 2**20 if statistics else None
    if backend == "torch":
        import torch

        return torch.cuda.max_memory_allocated() / 2**20 if torch.cuda.is_available() else None
    import tensorflow as tf

    found = tf.config.list_physical_devices("GPU")
    return tf.config.experimental.get_memory_info("GPU:0")["peak"] / 2**20 if found else None


def measure(options: argparse.Namespace) -> None:
    """Print the table."""
    import keras

    from pca_utility import labels_folder

    dataset, size = get_dataset(options.dataset), options.input_size
    batch_size, steps = options.batch_size, options.steps
    trainings = {device: build_training(options, options.method, device) for device in options.augment_on}
    model, batches = next(iter(trainings.values()))
    repeats, targets = block_steps(model, steps), keras.tree.map_structure(keras.ops.convert_to_numpy, batches[0][1])
    in_memory = {
        "x": np.random.default_rng(SEED).random((batch_size * repeats, size, size, 3), np.float32),
        "y": keras.tree.map_structure(lambda some: np.concatenate([some] * repeats), targets),
        "batch_size": batch_size,
    }
    now = time.process_time if options.cpu_time else time.perf_counter
    compared = {
        f"augmented on the {device.upper()}": functools.partial(
            training_block, network, steps, batch_size, now, x=augmented
        )
        for device, (network, augmented) in trainings.items()
    }
    pipeline = next(iter(compared))
    compared["random arrays in memory"] = functools.partial(training_block, model, steps, batch_size, now, **in_memory)
    if keras.backend.backend() == "tensorflow" and options.method == DEFAULT_METHOD:
        labels_path, (eager, _) = labels_folder(options.data_dir, dataset, DEFAULT_CROP), build_training(options)
        compared["eager loop, batch of 3"] = lambda: original_block(eager, batches.source, labels_path, steps, now)
    speeds = interleaved(compared, options.blocks)
    print_machine(options, f"{options.method}, {len(batches.source)} {dataset.title} faces")
    for name, values in speeds.items():
        print(row(f"training, {name}", values, "images/s" + " of CPU time" * options.cpu_time))
    for name in list(compared)[1:]:
        print(row(f"{pipeline} / {name}", speeds[pipeline] / speeds[name], "times"))
    for device, (_, augmented) in trainings.items():
        print(row(f"a batch alone, augmented on the {device.upper()}", batch_times(augmented, steps), "ms"))
    on_gpu = gpu_memory()
    if on_gpu is not None:  # another process would find the GPU's memory taken
        print(row("peak memory of all trainings on the GPU", [on_gpu], "MiB"))
        print(row("peak memory of all trainings on the host", [peak_memory()], "MiB"))
        return
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:  # its memory is its own
        print(row("peak memory of training", [pool.submit(training_memory, options).result()], "MiB"))
    if options.raw or dataset.rendered:
        runs = [preparation(dataset, options.raw) for _ in range(options.preparations)]
        print(row(f"preparing {dataset.title}", [speed for speed, _ in runs], "faces/s"))
        print(row("peak memory of preparing, its largest process", [peak for _, peak in runs], "MiB"))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    parser = argparse.ArgumentParser(description="Measure the speed of training and of preparation.")
    add_training_options(parser, steps=10)
    parser.add_argument("--method", default=DEFAULT_METHOD, help="method that is trained; default: %(default)s")
    parser.add_argument(
        "--augment-on", type=names, default=["cpu", "gpu"], help="cpu, gpu, or both with a comma; default: both"
    )
    parser.add_argument("--cpu-time", action="store_true", help="CPU seconds instead of wall-clock seconds")
    parser.add_argument("--raw", help="folder of the unpacked data set, to measure preparation too")
    parser.add_argument("--preparations", type=int, default=3, help="number of preparations; default: %(default)s")
    options = parser.parse_args(arguments)
    return cli.run(lambda: measure(options), "training_speed")


if __name__ == "__main__":
    sys.exit(main())
