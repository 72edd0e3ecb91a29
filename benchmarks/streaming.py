"""What a streamed set costs: memory and speed while it grows tenfold, beside the same faces in memory.

    python -m benchmarks.streaming --dataset 300W --data-dir data

The prepared training faces are written as records once, and ten times over; a process of its own makes batches of each.
"""

import argparse
import dataclasses
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from config import DATA_DIR, DEFAULT_CROP, INDEX_FILE, SEED, get_crop
from face_datasets.catalogue import TITLES, get_dataset
from face_datasets.face_dataset import FaceDataset, load_faces, read_index
from face_datasets.records import FaceRecords
from face_datasets.stored_faces import store_records
from methods import encode_regression
from training.batches import AugmentedBatches, CPUAugmentation, Shuffled, stream_order
from training.recipes import get_recipe
from utils.files import write_json
from utils.processes import peak_memory

GROWTH = (1, 10)
WAYS = ("memory", "records")


def write_records(data_dir: str, dataset_name: str, out: Path, times: int) -> None:
    """The training faces of a prepared set, so many times over, as records below `out`."""
    dataset = get_dataset(dataset_name)
    index = read_index(data_dir, dataset)
    folder = out / dataset.name
    folder.mkdir(parents=True)
    (folder / "faces").symlink_to(Path(data_dir, dataset.name, "faces").absolute())
    write_json(folder / INDEX_FILE, index)  # the same for every number of records: it is read as a whole
    index["faces"] = [row for row in index["faces"] for _ in range(times if row["split"] == "train" else 1)]
    store_records(folder, dataset, index, rendered=0, workers=1)


def measure(way: str, data_dir: str, dataset_name: str, times: int, batches: int) -> dict:
    """Makes batches one way; the number of faces, MiB before and at the peak, faces/s."""
    dataset = get_dataset(dataset_name)
    recipe, crop = get_recipe(dataset), get_crop(DEFAULT_CROP)
    before = peak_memory()
    if way == "records":
        faces = FaceRecords(data_dir, dataset, recipe.input_size)
        order = stream_order(len(faces), SEED)
    else:
        faces = load_faces(data_dir, dataset_name, "train", recipe.input_size)
        if times > 1:  # arrays of their own, as of other faces
            faces = faces_over(faces, times)
        order = Shuffled(len(faces), SEED)
    augment = CPUAugmentation(recipe.input_size)
    made = AugmentedBatches(faces, order, augment, crop, recipe, encode_regression, SEED)
    made[0]
    started = time.perf_counter()
    for step in range(batches):
        made[step]
    speed = batches * recipe.batch_size / (time.perf_counter() - started)
    return {"faces": len(faces), "before": before, "peak": peak_memory(), "speed": speed}


def faces_over(faces: FaceDataset, times: int) -> FaceDataset:
    """The faces so many times over, none of the images shared."""
    return dataclasses.replace(
        faces,
        names=faces.names * times,
        images=[image.copy() for _ in range(times) for image in faces.images],
        landmarks=np.tile(faces.landmarks, (times, 1, 1)),
        matrices=np.tile(faces.matrices, (times, 1, 1)),
        subsets=faces.subsets * times,
    )


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(description="Memory and speed of streamed faces.")
    parser.add_argument("--dataset", default="300W", help=f"one of {TITLES}; prepared")
    parser.add_argument("--data-dir", default=DATA_DIR, help="the data root")
    parser.add_argument("--batches", type=int, default=200, help="how many are made")
    parser.add_argument("--measure", nargs=2, metavar=("WAY", "TIMES"), help="only this, in this process")
    options = parser.parse_args(arguments)
    if options.measure:
        way, times = options.measure
        print(json.dumps(measure(way, options.data_dir, options.dataset, int(times), options.batches)))
        return 0
    print("| way | faces | memory before, MiB | peak, MiB | faces/s |\n| --- | --- | --- | --- | --- |")
    for way in WAYS:
        for times in GROWTH:
            with tempfile.TemporaryDirectory() as folder:
                root = options.data_dir
                if way == "records":
                    write_records(options.data_dir, options.dataset, Path(folder), times)
                    root = folder
                command = [
                    sys.executable,
                    "-m",
                    "benchmarks.streaming",
                    "--measure",
                    way,
                    str(times),
                    "--data-dir",
                    root,
                ]
                command += ["--dataset", options.dataset, "--batches", str(options.batches)]
                done = subprocess.run(command, capture_output=True, text=True, check=True)
            row = json.loads(done.stdout.splitlines()[-1])
            numbers = " | ".join(f"{row[name]:.0f}" for name in ("before", "peak", "speed"))
            print(f"| {way} | {row['faces']:,} | {numbers} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
