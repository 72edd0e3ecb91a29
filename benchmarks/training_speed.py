"""How fast: training images/s, what a loss adds to a step, preparation and memory.

Blocks of the compared ways take turns, so that a machine whose speed drifts treats them alike; the tables give medians
and their spread.
"""

import argparse
import dataclasses
import functools
import multiprocessing
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import keras
import numpy as np
from tqdm import tqdm

from acr_loss import acr_loss, difficulty
from config import CROPS, DEFAULT_CROP, PCA_PERCENTAGES, SEED
from face_datasets.catalogue import Dataset, get_dataset
from face_datasets.face_dataset import FaceDataset, read_index
from methods import get_method
from pca_utility import ShapeModel, eigenbasis_path, labels_folder, pca_folder
from train import Train
from training.batches import TrainingBatches
from training.recipes import get_recipe
from utils.processes import peak_memory

EAGER_METHOD = "acr"  # of the original's training loop
ORIGINAL_BATCH = 3  # faces of a step in the original's training loop
WARM_UP = 4  # steps before the clock of a block starts
PLAIN_LOSS = "l2"  # the cheapest there is, which the others are held against


class BlockClock(keras.callbacks.Callback):
    """Steps from the end of the warm-up to the end of a block, and their seconds by the clock `now`. Fused steps end
    together."""

    def __init__(self, now: Callable[[], float]):
        super().__init__()
        self._now = now

    def on_train_begin(self, logs=None):
        self._started = None

    def on_train_batch_end(self, batch, logs=None):
        now = self._now()
        if self._started is None and batch >= WARM_UP - 1:
            self._started, self._first = now, batch
        elif self._started is not None:
            self.steps, self.seconds = batch - self._first, now - self._started


def block_steps(model: keras.Model, steps: int) -> int:
    """The steps of a block and of the warm-up before it: whole executions, and one more for the warm-up."""
    fused = model.steps_per_execution
    return (-(-WARM_UP // fused) - (-steps // fused)) * fused


def training_block(
    model: keras.Model, steps: int, images: int, now: Callable[[], float] = time.perf_counter, **data
) -> float:
    """Images per second of `steps` training steps of so many images, after the warm-up; `data` is what `fit` is fed.
    `now` tells the seconds."""
    clock = BlockClock(now)
    model.fit(**data, steps_per_epoch=block_steps(model, steps), verbose=0, shuffle=False, callbacks=[clock])
    return clock.steps * images / clock.seconds


def original_block(
    model: keras.Model, faces: FaceDataset, labels_path: Path, steps: int, now: Callable[[], float] = time.perf_counter
) -> float:
    """Images per second, by the clock `now`, of an eager loop as the original's: three faces a step, eigenbases loaded
    for every face."""
    import tensorflow as tf

    optimizer = keras.optimizers.Adam(1e-3)
    size = model.input_shape[1]
    recipe = dataclasses.replace(get_recipe(faces.dataset), batch_size=ORIGINAL_BATCH, input_size=size)
    batches = TrainingBatches(faces, CROPS[DEFAULT_CROP], recipe, get_method("acr").codec.encode, SEED)
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
    """Faces/s of data_helper.py into an empty folder, start of Python included, and MiB of its largest process."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "data_helper.py", "--dataset", dataset.title, "--out", folder]
        command += ["--raw", raw_dir] if raw_dir else []
        timed = subprocess.run([sys.executable, "-c", _TIMED, *command], check=True, capture_output=True, text=True)
        seconds, peak = map(float, timed.stdout.split())
        return len(read_index(folder, dataset)["faces"]) / seconds, peak


def batch_times(batches: TrainingBatches, count: int) -> list[float]:
    """Milliseconds that each of some batches takes until its images are there."""
    times = []
    for step in range(count):
        started = time.perf_counter()
        images, _ = batches[step]
        np.asarray(keras.ops.convert_to_numpy(images[:1, :1, :1]))  # waits for the device
        times.append(1000 * (time.perf_counter() - started))
    return times


def training_memory(options: argparse.Namespace) -> float:
    """Trains a few steps; gives the peak memory of this process in MiB."""
    model, batches = training_of(options, options.method)
    training_block(model, 3, options.batch_size, x=batches)
    return peak_memory()


def device_memory() -> float | None:
    """The most memory that this process has held on its first GPU, in MiB; None without one."""
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


_PEAK = """
from pathlib import Path
print(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])
"""


def program_memory(program: str, threads: int, *arguments: str | Path) -> float:
    """The most memory of a process that runs a Python program of the repository and nothing else, in MiB. Linux only.

    Args:
        threads: of TensorFlow; the program's first argument besides. arguments: its others.
    """
    command = [sys.executable, "-c", program + _PEAK, str(threads), *map(str, arguments)]
    threading = dict.fromkeys(("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"), str(threads))
    root, environment = Path(__file__).parents[1], os.environ | threading
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=root, env=environment)
    return int(done.stdout.split()[-1]) / 1024


def training_of(
    options: argparse.Namespace, method: str = EAGER_METHOD, sampler: str = "auto"
) -> tuple[keras.Model, TrainingBatches]:
    """The compiled network and the batches of a training."""
    run = Train(
        options.arch,
        options.dataset,
        save_path=".",
        method=method,
        augment_on=sampler,
        recipe=options.recipe,
        data_dir=options.data_dir,
        input_size=options.input_size,
        batch_size=options.batch_size,
    )
    batches = run.batches()
    return run.compiled(batches.steps_per_epoch)[0], batches


def interleaved(ways: dict[str, Callable[[], float]], blocks: int) -> dict[str, np.ndarray]:
    """Speeds (blocks,) of every way, its blocks taking turns with those of the others."""
    for way in ways.values():  # traces, and fills caches
        way()
    speeds = {name: [] for name in ways}
    for _ in tqdm(range(blocks), unit="round"):
        for name, way in ways.items():
            speeds[name].append(way())
    return {name: np.array(values) for name, values in speeds.items()}


def print_machine(options: argparse.Namespace, faces: str) -> None:
    """Prints what was measured, and on what."""
    print(f"{options.arch}, {options.input_size} px, batch {options.batch_size}, {faces}")
    print(f"{options.blocks} interleaved blocks of {options.steps} steps, {os.cpu_count()} cores, {platform.machine()}")
    print(f"Keras {keras.__version__} on {keras.backend.backend()}")
    print(f"{'':<50}{'median':>9}{'least':>9}{'most':>9}")


def row(title: str, values: list[float], unit: str) -> str:
    """One line of the table: median, smallest and largest."""
    return f"{title:<50}{np.median(values):9.2f}{min(values):9.2f}{max(values):9.2f}  {unit}"


def throughput(options: argparse.Namespace) -> None:
    """Prints the table of `python benchmark.py throughput`."""
    dataset, size = get_dataset(options.dataset), options.input_size
    batch_size, steps = options.batch_size, options.steps
    trainings = {sampler: training_of(options, options.method, sampler) for sampler in options.samplers}
    model, batches = next(iter(trainings.values()))
    repeats, targets = block_steps(model, steps), keras.tree.map_structure(keras.ops.convert_to_numpy, batches[0][1])
    in_memory = {
        "x": np.random.default_rng(SEED).random((batch_size * repeats, size, size, 3), np.float32),
        "y": keras.tree.map_structure(lambda some: np.concatenate([some] * repeats), targets),
        "batch_size": batch_size,
    }
    now = time.process_time if options.processor_time else time.perf_counter
    ways = {
        f"pipeline, {sampler} sampler": functools.partial(training_block, network, steps, batch_size, now, x=moved)
        for sampler, (network, moved) in trainings.items()
    }
    pipeline = next(iter(ways))
    ways["random arrays in memory"] = functools.partial(training_block, model, steps, batch_size, now, **in_memory)
    if keras.backend.backend() == "tensorflow" and options.method == EAGER_METHOD:
        labels_path, (eager, _) = labels_folder(options.data_dir, dataset, DEFAULT_CROP), training_of(options)
        ways["eager loop, batch of 3"] = lambda: original_block(eager, batches.faces, labels_path, steps, now)
    speeds = interleaved(ways, options.blocks)
    print_machine(options, f"{options.method}, {len(batches.faces)} {dataset.title} faces")
    for name, values in speeds.items():
        print(row(f"training, {name}", values, "images/s" + " of processor time" * options.processor_time))
    for name in list(ways)[1:]:
        print(row(f"{pipeline} / {name}", speeds[pipeline] / speeds[name], "times"))
    for sampler, (_, moved) in trainings.items():
        print(row(f"a batch alone, {sampler} sampler", batch_times(moved, steps), "ms"))
    on_device = device_memory()
    if on_device is not None:  # another process would find the GPU's memory taken
        print(row("peak memory of all trainings on the GPU", [on_device], "MiB"))
        print(row("peak memory of all trainings on the host", [peak_memory()], "MiB"))
        return
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:  # its memory is its own
        print(row("peak memory of training", [pool.submit(training_memory, options).result()], "MiB"))
    if options.raw or dataset.rendered:
        runs = [preparation(dataset, options.raw) for _ in range(options.preparations)]
        print(row(f"preparing {dataset.title}", [speed for speed, _ in runs], "faces/s"))
        print(row("peak memory of preparing, its largest process", [peak for _, peak in runs], "MiB"))
