"""The bench of the losses: methods x networks x seeds under one recipe and on the same faces, compared in the end.

Every run is one of train.py and ends with its evaluation. They lie below <out>/runs; runs made before can be used
where they lie, if their settings.json says that they are the same.
"""

import argparse
import dataclasses
import itertools
import sys
from pathlib import Path

import train
from benchmarks.comparison import Comparison, Result, Truth, read_result
from benchmarks.comparison_plots import draw_strip
from benchmarks.config import STRIP_METHODS, STRIP_PIXELS
from benchmarks.training_queue import Training, train_all
from cnn_model import get_network
from config import SETTINGS_FILE, SNAPSHOTS_FILE, STATE_FILE, DatasetName, get_crop
from data_helper import prepare_embedded
from face_datasets.catalogue import Dataset, get_dataset, truth_file
from face_datasets.face_dataset import load_faces, read_index
from image_utility import transform
from methods import get_method
from training.callbacks import read_snapshots
from training.recipes import Recipe
from training.run_record import different_settings, read_record
from utils.files import folder_lock

RUNS_FOLDER = "runs"
PASSED_ON = (
    "recipe",
    "crop",
    "data_dir",
    "precision",
    "epochs",
    "input_size",
    "batch_size",
    "max_faces",
)  # to train.py


def bench_losses(options: argparse.Namespace) -> list[Path]:
    """Trains what is not trained yet, compares all, and returns the files written.

    Args:
        options: the command line of `python benchmark.py losses`.

    Raises:
        ValueError: an unknown name, a method of contours, a folder that holds another run, or runs that cannot be
            compared.
        RuntimeError: trainings failed.
        BlockingIOError: another bench writes to the folder.
        OSError: data that are not prepared, or a folder that cannot be written.
    """
    dataset, out = get_dataset(options.dataset), Path(options.out)
    others = [name for name in options.methods if get_method(name).codec.metric != "NME"]
    if others:
        raise ValueError(
            f"the benchmark compares the NME of landmarks. Received {', '.join(others)}, which have another metric; "
            "ace_net/README.md has the commands that train and compare those"
        )
    runs = plan(options)
    if dataset.name == DatasetName.synthetic:
        prepare_embedded(options.data_dir, options.crop)
    if all(face["split"] != "test" for face in read_index(options.data_dir, dataset)["faces"]):
        raise ValueError(f"nothing to compare on. Received {options.data_dir}, where {dataset.title} has no test faces")
    with folder_lock(out, "a bench writes to"):
        for training, _ in runs.values():
            print(f"{training.folder}: {training.stage()}", file=sys.stderr)
        truth = Truth(dataset, Path(options.data_dir) / dataset.name / truth_file("test"))
        Comparison(truth, finished(runs, truth))  # what cannot be compared shows before the long part
        train_all([training for training, _ in runs.values()], options.jobs)
        results = finished(runs, truth)
        files = Comparison(truth, results).write(out, describe(dataset, options, results))
        for arch in options.archs:
            folders = {method: runs[arch, method, options.seeds[0]][0].folder for method in options.methods}
            files += strip(out / f"strip_{get_network(arch).stem}.png", dataset, options, folders)
        return files


def finished(runs: dict[tuple[str, str, int], tuple[Training, Recipe]], truth: Truth) -> dict[str, list[Result]]:
    """What the finished ones of these runs left, by their title in the table: the method, and the network if there are
    several.

    Raises:
        ValueError, OSError: see read_result.
    """
    several = len({arch for arch, _, _ in runs}) > 1
    results: dict[str, list[Result]] = {}
    for (arch, method, _), (training, recipe) in runs.items():
        if training.finished():
            title = f"{get_network(arch).stem} {method}" if several else method
            results.setdefault(title, []).append(read_result(training.folder, recipe, truth))
    return results


def strip(path: Path, dataset: Dataset, options: argparse.Namespace, folders: dict[str, Path]) -> list[Path]:
    """Draws what training with each of STRIP_METHODS made of one validation face, epoch by epoch.

    Args:
        options: with crop, data_dir. folders: method -> its run.

    Returns:
        The file; none where one of the methods was not trained, or the runs kept no snapshots of the same epochs.
    """
    files = {name: folders[name] / SNAPSHOTS_FILE for name in STRIP_METHODS if name in folders}
    if len(files) < len(STRIP_METHODS) or not all(file.is_file() for file in files.values()):
        return []
    snapshots = {name: read_snapshots(file) for name, file in files.items()}
    faces = load_faces(options.data_dir, dataset.name, "validation")
    shown = faces.names.index(snapshots[STRIP_METHODS[0]]["image"])  # that of all, the runs had the same faces
    images, matrices = faces.crops(get_crop(options.crop), STRIP_PIXELS, [shown])
    shared = set.intersection(*(set(kept["epochs"]) for kept in snapshots.values()))
    if not shared:
        return []
    rows = {
        name: {epoch: transform(kept["epochs"][epoch], matrices[0]) for epoch in shared}
        for name, kept in snapshots.items()
    }
    draw_strip(path, images[0], transform(faces.landmarks[shown], matrices[0]), rows)
    return [path]


def plan(options: argparse.Namespace) -> dict[tuple[str, str, int], tuple[Training, Recipe]]:
    """(network, method, seed) -> its training and its recipe. Seeds come last in the order of training.

    Raises:
        ValueError: an unknown name, nothing to train, or a folder that holds a run with other settings.
    """
    for name in ("methods", "archs", "seeds"):
        if not getattr(options, name):
            raise ValueError(f"nothing to train. Received no {name}; one or more would be right")
    for method in options.methods:
        get_method(method)
    for arch in options.archs:
        get_network(arch)
    idle = sorted(options.rates.keys() - set(options.methods))
    if idle:
        raise ValueError(f"a learning rate of what is not trained. Received {idle}; one of {options.methods} is right")
    made = _runs_below(options.run_dirs)
    runs = {}
    for seed, arch, method in itertools.product(options.seeds, options.archs, options.methods):
        words = ["--dataset", options.dataset, "--arch", arch, "--method", method, "--seed", str(seed)]
        given = {name: getattr(options, name) for name in PASSED_ON} | {"learning_rate": options.rates.get(method)}
        for name, value in given.items():
            if value is not None:
                words += [f"--{name.replace('_', '-')}", str(value)]
        folder = Path(options.out) / RUNS_FOLDER / f"{get_network(arch).stem}_{method}_{seed}"
        run = train.run_of(train.parse_options(words), folder)
        training = Training(tuple(words), folder, run.recipe.epochs, run.recipe.patience)
        if training.begun:
            stored = read_record(folder / SETTINGS_FILE)["settings"]
            different = different_settings(stored, run.settings())
            if different:
                raise ValueError(
                    f"{folder} holds a run with other settings. Received another {', '.join(different)}; "
                    "take another --out, or remove that folder"
                )
        else:
            training = _same_run(made, run, training) or training
        runs[arch, method, seed] = training, run.recipe
    return runs


def _runs_below(folders: list[str]) -> list[tuple[Path, dict]]:
    """The folders of all runs below these, with their settings; a settings.json without a state is no run's.

    Raises:
        ValueError: no such folder, or the record of a run is broken.
    """
    for folder in folders:
        if not Path(folder).is_dir():
            raise ValueError(f"no such folder of runs. Received {folder}")
    files = [file for folder in folders for file in sorted(Path(folder).rglob(SETTINGS_FILE))]
    files = [file for file in files if (file.parent / STATE_FILE).is_file()]
    return [(file.parent, read_record(file)["settings"]) for file in files]


def _same_run(made: list[tuple[Path, dict]], run: train.Train, training: Training) -> Training | None:
    """The first finished run with the settings of this one; says why another that looks like it is not taken."""
    for folder, settings in made:
        found = dataclasses.replace(training, folder=folder)
        different = different_settings(settings, run.settings())
        if not different and found.finished():
            return found
        if not any(name in settings for name in different):
            reason = f"does not say its {', '.join(different)}, which older versions did not keep"
            print(f"{folder} is not used: it {reason if different else f'is {found.stage()}'}", file=sys.stderr)
    return None


def describe(dataset: Dataset, options: argparse.Namespace, results: dict[str, list[Result]]) -> str:
    """What was run, in a few lines, for the head of the table."""
    first = next(iter(results.values()))[0]
    settings, faces = first.settings, first.faces
    recipe = settings["recipe"]
    runs = [run for entry in results.values() for run in entry]
    commits, ends = sorted({run.commit for run in runs}), sorted({int(run.steps[-1]) for run in runs})
    most, steps = ("", f"{ends[0]:,}") if len(ends) == 1 else (" at most", f"{ends[0]:,} to {ends[-1]:,}")
    warning = "" if len(commits) == 1 else "Warning, the runs are of different commits: "
    rates = {title: entry[0].settings["recipe"]["learning_rate"] for title, entry in results.items()}
    rate = "learning rates " + ", ".join(f"{title} {value:g}" for title, value in rates.items())
    if len(set(rates.values())) == 1:
        rate = f"learning rate {recipe['learning_rate']:g}"
    return (
        f"{dataset.title}: {', '.join(options.archs)} at {settings['input_size']} px, recipe {recipe['name']}, "
        f"{recipe['epochs']} epochs{most} ({steps} steps of {recipe['batch_size']} faces), crop "
        f"{settings['crop']}, {settings['precision']}, {rate}, seeds {', '.join(map(str, options.seeds))}. Trained on "
        f"{faces['train']['n']} faces; the best epoch chosen on {faces['validation']['n']} validation faces. "
        f"{warning or 'Commit '}{', '.join(commits)}."
    )
