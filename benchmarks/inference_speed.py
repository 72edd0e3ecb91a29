"""Speed and memory of prediction: Keras, ONNX Runtime and LiteRT on the same images and threads.

    python -m benchmarks.inference_speed --weights runs/acr/best.keras
    python -m benchmarks.inference_speed --input-size 224 --threads 2

compares the runtimes on batches of 1, 8 and 32 faces, with trained or random weights. With --picture, a photograph of
faces, and --weights it also times every stage of predict.py.
"""

import argparse
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from tqdm import tqdm

from benchmarks.options import ARCH
from benchmarks.timing import print_head, program_memory, row
from config import DEFAULT_CROP, EXPORT_SUFFIXES, SEED, SETTINGS_FILE, ModelArch
from face_datasets.catalogue import TITLES, Dataset, get_dataset
from utils import cli
from utils.files import write_json
from utils.image_files import read_untrusted_image

if TYPE_CHECKING:
    from inference.network import LandmarkNetwork

KERAS = "Keras float32"
RUNTIMES = {"onnx": "ONNX Runtime", "litert": "LiteRT"}
Run = Callable[[np.ndarray], object]  # from images (batch, size, size, 3) to outputs


def set_keras_threads(threads: int) -> None:
    """Set TensorFlow's number of threads; it must not have computed anything in this process yet.

    Raises:
        ValueError: it has.
    """
    import tensorflow as tf

    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
    except RuntimeError as error:
        raise ValueError(f"cannot give TensorFlow {threads} threads. Received: {error}") from error


def untrained_network(arch: ModelArch | str, dataset: Dataset, input_size: int) -> "LandmarkNetwork":
    """Return a network with random weights, which takes as long as a trained one."""
    from cnn_model import CNNModel
    from inference.network import load_network

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "untrained.keras"
        CNNModel().get_model(arch, dataset.outputs, input_size=input_size).save(path)
        settings = {"method": "l2", "crop": DEFAULT_CROP, "dataset": dataset.title}
        write_json(path.parent / SETTINGS_FILE, {"settings": settings})
        return load_network(path)


class ExportedFile(NamedTuple):
    """An exported file, and the module (backend) that reads its format."""

    backend: ModuleType
    path: Path


def exported_files(network: "LandmarkNetwork", folder: Path) -> dict[str, ExportedFile]:
    """Export the network in every format and precision, without the checks of export.py.

    Returns:
        title -> file below `folder`.
    """
    from export import CALIBRATION_FACES, PRECISIONS
    from inference.network import FORMATS

    size = network.input_size
    images = np.random.default_rng(SEED).random((CALIBRATION_FACES, size, size, 3), np.float32)
    files = {}
    for name, backend in FORMATS.items():
        for precision in PRECISIONS:
            path = folder / f"{precision}{EXPORT_SUFFIXES[name]}"
            backend.write(network.model, path, precision, images, description="{}")
            files[f"{RUNTIMES[name]} {precision}"] = ExportedFile(backend, path)
    return files


def load_runs(network: "LandmarkNetwork", files: dict[str, ExportedFile], threads: int) -> dict[str, Run]:
    """Return the functions from images to outputs, one for each runtime: title -> function."""
    runs: dict[str, Run] = {KERAS: network.run}
    for title, (backend, path) in files.items():
        _, _, runs[title], _ = backend.read(path, threads)
    return runs


def latencies(
    runs: dict[str, Run],
    size: int,
    batch: int,
    images: int,
    blocks: int,
    now: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
    """Return the milliseconds that a batch takes, one mean for every block: title -> (blocks,).

    Args:
        runs: title -> function from images to outputs; their blocks take turns.
        size: side of the input in pixels.
        batch: images of a batch.
        images: minimum number of images of a block.
        blocks: blocks of each run.
        now: clock; returns seconds.
    """
    faces = np.random.default_rng(SEED).random((batch, size, size, 3), np.float32)
    calls = -(-images // batch)
    times: dict[str, list[float]] = {title: [] for title in runs}
    for run in runs.values():  # traces, allocates, fills caches
        run(faces)
    for _ in tqdm(range(blocks), desc=f"batch {batch}", unit="block", disable=None):
        for title, run in runs.items():
            run(faces)
            started = now()
            for _ in range(calls):
                run(faces)
            times[title].append(1000 * (now() - started) / calls)
    return times


_ONE_FACE = """
import importlib, sys
from pathlib import Path
import numpy as np
threads, backend, path = int(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
if backend == "networks.weights":
    model = importlib.import_module(backend).load_model(path)
    shape, run = model.input_shape, model.predict_on_batch
else:
    _, shape, run, _ = importlib.import_module(backend).read(path, threads)
run(np.zeros((1, *shape[1:]), np.float32))
"""  # loads only the one runtime


def peak_memory(
    network: "LandmarkNetwork", files: dict[str, ExportedFile], threads: int, folder: Path
) -> dict[str, float]:
    """Return the peak memory of a process that only predicts one face, in MiB: title -> peak. Linux only."""
    network.model.save(folder / "network.keras")
    backends = {KERAS: ("networks.weights", folder / "network.keras")}
    backends |= {title: (backend.__name__, path) for title, (backend, path) in files.items()}
    return {title: program_memory(_ONE_FACE, threads, *backend) for title, backend in backends.items()}


def measure(options: argparse.Namespace) -> None:
    """Print the table.

    Raises:
        OSError, ValueError: a file that cannot be read, or that is an exported file already.
    """
    from inference.network import keras_model, load_network

    set_keras_threads(options.threads)
    if options.picture:
        read_untrusted_image(options.picture)  # an unreadable picture is reported before the long part
    if options.weights:
        network = load_network(options.weights)
        keras_model(network)  # raises where there is none to export
    else:
        network = untrained_network(options.arch, get_dataset(options.dataset), options.input_size)
    with tempfile.TemporaryDirectory() as folder:
        files = exported_files(network, Path(folder))
        runs = load_runs(network, files, options.threads)
        size = network.input_size
        times = {batch: latencies(runs, size, batch, options.images, options.blocks) for batch in options.batches}
        peaks = peak_memory(network, files, options.threads, Path(folder))
        sizes = {title: file.path.stat().st_size / 2**20 for title, file in files.items()}

    print(f"{options.weights or f'{options.arch} with random weights'}, {size} px, {network.points} landmarks")
    print(f"{options.threads} threads, {os.cpu_count()} cores, {platform.machine()}")
    print(f"{options.blocks} interleaved blocks of at least {options.images} images, means of blocks")
    print_head()
    for batch, of_runs in times.items():
        for title, values in of_runs.items():
            print(row(f"batch {batch}, {title}", values, f"ms {1000 * batch / np.median(values):9.1f} images/s"))
    for title, peak in peaks.items():
        print(row(f"peak memory of one face, {title}", [peak], "MiB"))
    for title, mebibytes in sizes.items():
        print(row(f"size of the file, {title}", [mebibytes], "MiB"))
    if options.picture:
        measure_stages(options)


def measure_stages(options: argparse.Namespace) -> None:
    """Print the part of the table about pictures."""
    from benchmarks.pipeline_stages import picture_memory, resized_pictures, stage_times

    with tempfile.TemporaryDirectory() as folder:
        pictures = resized_pictures(options.picture, Path(folder))
        times, counts = stage_times(options.weights, pictures, options.blocks)
        peaks = picture_memory(options.weights, pictures, options.threads)
    for name, of_picture in times.items():
        for stage, values in of_picture.items():
            print(row(f"{name}, {counts[name]} faces, {stage}", values, "ms"))
        print(row(f"{name}, peak memory", [peaks[name]], "MiB"))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    parser = argparse.ArgumentParser(description="Measure the speed and memory of prediction.")
    add = parser.add_argument
    add("--weights", help="file of weights, .keras or .h5; default: random weights")
    add("--dataset", default="300W", help=f"data set of a random network: one of {TITLES}; default: %(default)s")
    add("--arch", default=ModelArch.MNV2, choices=[*map(str, ModelArch)], metavar="ARCH", help=f"random {ARCH}")
    add("--input-size", type=int, default=224, help="side of its input in pixels; default: %(default)s")
    add("--threads", type=int, default=os.cpu_count(), help="threads of every runtime; default: all cores")
    add("--batches", type=int, nargs="+", default=[1, 8, 32], help="faces of a batch; default: 1 8 32")
    add("--images", type=int, default=64, help="faces of a block; default: %(default)s")
    add("--blocks", type=int, default=9, help="blocks of each runtime; default: %(default)s")
    add("--picture", help="photograph of faces, to time every stage of predict.py; needs --weights")
    options = parser.parse_args(arguments)
    if options.picture and not options.weights:
        parser.error("--picture needs --weights")
    return cli.run(lambda: measure(options), "inference_speed")


if __name__ == "__main__":
    sys.exit(main())
