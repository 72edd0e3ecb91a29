"""How long a network takes for a batch of faces: Keras, ONNX Runtime and LiteRT on the same images and threads.

Blocks of all ways take turns, so that a machine whose speed drifts treats them alike.
"""

import argparse
import os
import platform
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from benchmarks.pipeline_stages import picture_memory, resized_pictures, stage_times
from benchmarks.training_speed import program_memory, row
from cnn_model import CNNModel
from config import DEFAULT_CROP, EXPORT_SUFFIXES, SEED, SETTINGS_FILE, ModelArch
from export import CALIBRATION_FACES, PRECISIONS
from face_datasets.catalogue import Dataset, get_dataset
from inference.network import FORMATS, LandmarkNetwork, keras_model, load_network
from utils.files import write_json
from utils.image_files import read_untrusted_image

KERAS = "Keras float32"
TITLES = {"onnx": "ONNX Runtime", "litert": "LiteRT"}
Run = Callable[[np.ndarray], object]  # from images (batch, size, size, 3) to outputs


def set_keras_threads(threads: int) -> None:
    """Gives TensorFlow so many threads; it must not have computed anything in this process yet.

    Raises:
        ValueError: it has.
    """
    import tensorflow as tf

    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
    except RuntimeError as error:
        raise ValueError(f"cannot give TensorFlow {threads} threads. Received: {error}") from error


def untrained_network(arch: ModelArch | str, dataset: Dataset, input_size: int) -> LandmarkNetwork:
    """A network with random weights, which computes as long as a trained one."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "untrained.keras"
        CNNModel().get_model(arch, dataset.outputs, input_size=input_size).save(path)
        settings = {"method": "l2", "crop": DEFAULT_CROP, "dataset": dataset.title}
        write_json(path.parent / SETTINGS_FILE, {"settings": settings})
        return load_network(path)


class ExportedFile(NamedTuple):
    """An exported file, and the room that reads its format."""

    room: ModuleType
    path: Path


def exported_files(network: LandmarkNetwork, folder: Path) -> dict[str, ExportedFile]:
    """The network in every format and precision, below `folder`, not checked: title -> file."""
    size = network.input_size
    images = np.random.default_rng(SEED).random((CALIBRATION_FACES, size, size, 3), np.float32)
    files = {}
    for name, room in FORMATS.items():
        for precision in PRECISIONS:
            path = folder / f"{precision}{EXPORT_SUFFIXES[name]}"
            room.write(network.model, path, precision, images, description="{}")
            files[f"{TITLES[name]} {precision}"] = ExportedFile(room, path)
    return files


def runs_of(network: LandmarkNetwork, files: dict[str, ExportedFile], threads: int) -> dict[str, Run]:
    """What every runtime computes with: title -> function from images to outputs."""
    runs: dict[str, Run] = {KERAS: network.run}
    for title, (room, path) in files.items():
        _, _, runs[title], _ = room.read(path, threads)
    return runs


def latencies(runs: dict[str, Run], size: int, batch: int, images: int, blocks: int) -> dict[str, list[float]]:
    """Milliseconds that a batch takes, one mean for every block: title -> (blocks,).

    Args:
        images: of a block, at least; blocks of the runs take turns.
    """
    faces = np.random.default_rng(SEED).random((batch, size, size, 3), np.float32)
    calls = -(-images // batch)
    times: dict[str, list[float]] = {title: [] for title in runs}
    for run in runs.values():  # traces, allocates, fills caches
        run(faces)
    for _ in tqdm(range(blocks), desc=f"batch {batch}", unit="round", disable=None):
        for title, run in runs.items():
            run(faces)
            started = time.perf_counter()
            for _ in range(calls):
                run(faces)
            times[title].append(1000 * (time.perf_counter() - started) / calls)
    return times


_ONE_FACE = """
import importlib, sys
from pathlib import Path
import numpy as np
threads, room, path = int(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
if room == "cnn_model":
    model = importlib.import_module(room).load_model(path)
    shape, run = model.input_shape, model.predict_on_batch
else:
    _, shape, run, _ = importlib.import_module(room).read(path, threads)
run(np.zeros((1, *shape[1:]), np.float32))
"""  # it loads nothing but the one runtime


def peak_memory(
    network: LandmarkNetwork, files: dict[str, ExportedFile], threads: int, folder: Path
) -> dict[str, float]:
    """The most memory of a process that does nothing but predict one face, in MiB: title -> peak. Linux only."""
    network.model.save(folder / "network.keras")
    ways = {KERAS: ("cnn_model", folder / "network.keras")}
    ways |= {title: (room.__name__, path) for title, (room, path) in files.items()}
    return {title: program_memory(_ONE_FACE, threads, *way) for title, way in ways.items()}


def inference(options: argparse.Namespace) -> None:
    """Prints the table of `python benchmark.py inference`."""
    set_keras_threads(options.threads)
    if options.picture:
        read_untrusted_image(options.picture)  # what is no picture shows before the long part
    if options.weights:
        network = load_network(options.weights)
        keras_model(network)  # raises where there is none to export
    else:
        network = untrained_network(options.arch, get_dataset(options.dataset), options.input_size)
    with tempfile.TemporaryDirectory() as folder:
        files = exported_files(network, Path(folder))
        runs = runs_of(network, files, options.threads)
        size = network.input_size
        times = {batch: latencies(runs, size, batch, options.images, options.blocks) for batch in options.batches}
        peaks = peak_memory(network, files, options.threads, Path(folder))
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
    with tempfile.TemporaryDirectory() as folder:
        pictures = resized_pictures(options.picture, Path(folder))
        times, counts = stage_times(options.weights, pictures, options.blocks)
        peaks = picture_memory(options.weights, pictures, options.threads)
    for name, of_picture in times.items():
        for stage, values in of_picture.items():
            print(row(f"{name}, {counts[name]} faces, {stage}", values, "ms"))
        print(row(f"{name}, peak memory", [peaks[name]], "MiB"))
