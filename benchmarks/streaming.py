"""Memory and speed of streamed training faces and of the same faces in memory, while their number grows tenfold.

    python -m benchmarks.streaming --dataset 300W --data-dir data

The prepared training faces are written as records once and ten times; a separate process makes batches of each.
"""

import argparse
import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.options import add_data_options
from config import DEFAULT_CROP, INDEX_FILE, ROOT, SEED, get_crop
from face_datasets.catalogue import get_dataset
from face_datasets.face_dataset import FaceDataset, load_faces, read_index
from face_datasets.stored_faces import store_records
from training.recipes import get_recipe
from utils import cli
from utils.files import write_json
from utils.processes import peak_memory

GROWTH = (1, 10)
SOURCES = ("memory", "records")


def write_records(data_dir: str, dataset_name: str, out: Path, times: int) -> None:
    """Write the training faces of a prepared data set as records, each several times.

    Args:
        data_dir: data root of the prepared data set.
        dataset_name: the data set.
        out: data root of the records.
        times: how often each face is written.
    """
    dataset = get_dataset(dataset_name)
    index = read_index(data_dir, dataset)
    folder = out / dataset.name
    folder.mkdir(parents=True)
    (folder / "faces").symlink_to(Path(data_dir, dataset.name, "faces").absolute())
    write_json(folder / INDEX_FILE, index)  # the same for every number of records, because it is read completely
    index["faces"] = [row for row in index["faces"] for _ in range(times if row["split"] == "train" else 1)]
    store_records(folder, dataset, index, rendered=0, workers=1)


def measure(source: str, data_dir: str, dataset_name: str, times: int, batches: int) -> dict:
    """Make batches from one source.

    Args:
        source: "memory" or "records".
        data_dir: data root.
        dataset_name: the data set.
        times: how often the faces in memory are repeated.
        batches: number of batches.

    Returns:
        "faces": their number; "before" and "peak": memory in MiB; "speed": faces/s.
    """
    from face_datasets.records import FaceRecords
    from methods import encode_regression
    from training.batches import AugmentedBatches, CPUAugmentation, Shuffled, stream_order

    dataset = get_dataset(dataset_name)
    recipe, crop = get_recipe(dataset), get_crop(DEFAULT_CROP)
    before = peak_memory()
    if source == "records":
        faces = FaceRecords(data_dir, dataset, recipe.input_size)
        order = stream_order(len(faces), SEED)
    else:
        faces = load_faces(data_dir, dataset_name, "train", recipe.input_size)
        if times > 1:  # separate arrays, like other faces
            faces = repeat_faces(faces, times)
        order = Shuffled(len(faces), SEED)
    augment = CPUAugmentation(recipe.input_size)
    made = AugmentedBatches(faces, order, augment, crop, recipe, encode_regression, SEED)
    made[0]
    started = time.perf_counter()
    for step in range(batches):
        made[step]
    speed = batches * recipe.batch_size / (time.perf_counter() - started)
    return {"faces": len(faces), "before": before, "peak": peak_memory(), "speed": speed}


def repeat_faces(faces: FaceDataset, times: int) -> FaceDataset:
    """Return the faces several times, with separate images."""
    return dataclasses.replace(
        faces,
        names=faces.names * times,
        images=[image.copy() for _ in range(times) for image in faces.images],
        landmarks=np.tile(faces.landmarks, (times, 1, 1)),
        matrices=np.tile(faces.matrices, (times, 1, 1)),
        subsets=faces.subsets * times,
    )


def work(options: argparse.Namespace) -> None:
    """Print the table, or with --measure one row of it as JSON."""
    if options.measure:
        source, times = options.measure
        print(json.dumps(measure(source, options.data_dir, options.dataset, int(times), options.batches)))
        return
    print("| source | faces | memory before, MiB | peak, MiB | faces/s |\n| --- | --- | --- | --- | --- |")
    for source in SOURCES:
        for times in GROWTH:
            with tempfile.TemporaryDirectory() as folder:
                root = options.data_dir
                if source == "records":
                    write_records(options.data_dir, options.dataset, Path(folder), times)
                    root = folder
                command = [sys.executable, "-m", "benchmarks.streaming", "--measure", source, str(times)]
                command += ["--data-dir", os.path.abspath(root), "--dataset", options.dataset]
                command += ["--batches", str(options.batches)]
                done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
            row = json.loads(done.stdout.splitlines()[-1])
            numbers = " | ".join(f"{row[name]:.0f}" for name in ("before", "peak", "speed"))
            print(f"| {source} | {row['faces']:,} | {numbers} |", flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    parser = argparse.ArgumentParser(description="Measure memory and speed of streamed faces.")
    add_data_options(parser, default="300W")
    parser.add_argument("--batches", type=int, default=200, help="number of batches; default: %(default)s")
    parser.add_argument("--measure", nargs=2, metavar=("SOURCE", "TIMES"), help="only this row, in this process")
    options = parser.parse_args(arguments)
    return cli.run(lambda: work(options), "streaming")


if __name__ == "__main__":
    sys.exit(main())
