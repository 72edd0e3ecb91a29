"""Comparison of losses: methods x networks x seeds, trained under one recipe on the same faces.

    python -m benchmarks.losses --dataset 300W --methods acr,l2 --seeds 7,8,9 --jobs 2 --out results/losses

Every run is one of train.py and ends with its evaluation; the runs lie below <out>/runs. The command can be killed at
any time; the same command resumes. --run-dir also uses finished runs elsewhere if their settings are the same.
"""

import argparse
import dataclasses
import itertools
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.config import PROGRESS_METHODS, PROGRESS_PIXELS
from benchmarks.options import add_data_options, learning_rates, names, seeds
from benchmarks.training_queue import Training, run_training, train_all
from config import (
    CROPS,
    DEFAULT_CROP,
    SEED,
    SETTINGS_FILE,
    SNAPSHOTS_FILE,
    STATE_FILE,
    DatasetName,
    ModelArch,
    get_crop,
)
from face_datasets.catalogue import Dataset, get_dataset, truth_file
from utils import cli
from utils.files import folder_lock

if TYPE_CHECKING:
    from benchmarks.comparison import Result, Truth
    from train import Train
    from training.recipes import Recipe

RUNS_FOLDER = "runs"
TRAIN_OPTIONS = (  # that the trainings share
    "recipe",
    "crop",
    "data_dir",
    "precision",
    "epochs",
    "input_size",
    "batch_size",
    "max_faces",
)


def default_methods() -> list[str]:
    """Return the methods that regress landmarks with the usual head."""
    from methods import METHODS

    return [name for name, method in METHODS.items() if not method.own_head]


def compare_losses(options: argparse.Namespace, run: Callable[..., int] = run_training) -> list[Path]:
    """Train what is not trained yet, compare all runs, and return the written files.

    Args:
        options: the command line, see `parse_options`.
        run: function that runs one training, see `train_all`.

    Raises:
        ValueError: an unknown name, a method of contours, a folder with another run, or runs that cannot be compared.
        RuntimeError: trainings failed.
        BlockingIOError: another comparison writes to the folder.
        OSError: data that are not prepared, or a folder that cannot be written.
    """
    from benchmarks.comparison import Comparison, Truth
    from cnn_model import get_network
    from data_helper import prepare_embedded
    from face_datasets.face_dataset import read_index
    from methods import get_method
    from pca_utility import fit_eigenbases, labels_folder

    dataset, out = get_dataset(options.dataset), Path(options.out)
    if options.methods is None:
        options.methods = default_methods()
    contours = [name for name in options.methods if get_method(name).codec.metric != "NME"]
    if contours:
        raise ValueError(
            f"only landmarks are compared. Received {', '.join(contours)}, which predict anchors and contours; "
            "docs/ace_net.md has the commands that train and compare those"
        )
    runs = plan(options)
    if dataset.name == DatasetName.synthetic:
        prepare_embedded(options.data_dir, options.crop)
    if all(face["split"] != "test" for face in read_index(options.data_dir, dataset)["faces"]):
        raise ValueError(f"no test faces. Received {options.data_dir}, where {dataset.title} has none")
    with folder_lock(out, "a comparison writes to"):
        trainings = [training for training, _ in runs.values()]
        for training in trainings:
            print(f"{training.folder}: {training.stage()}", file=sys.stderr)
        truth = Truth(dataset, Path(options.data_dir) / dataset.name / truth_file("test"))
        Comparison(truth, read_results(runs, truth))  # reports runs that cannot be compared before the long part
        labelled = any(get_method(name).uses_labels for name in options.methods)
        if labelled and not all(training.finished() for training in trainings):
            fit_eigenbases(labels_folder(options.data_dir, dataset, options.crop), dataset)  # files that all runs share
        train_all(trainings, options.jobs, run)
        results = read_results(runs, truth)
        files = Comparison(truth, results).write(out, describe(dataset, options, results))
        for arch in options.archs:
            folders = {method: runs[arch, method, options.seeds[0]][0].folder for method in options.methods}
            files += draw_progress(out / f"strip_{get_network(arch).short_name}.png", dataset, options, folders)
        return files


def read_results(
    runs: dict[tuple[str, str, int], tuple[Training, "Recipe"]], truth: "Truth"
) -> dict[str, list["Result"]]:
    """Return the results of the finished runs by their title in the table: the method, with the network if there are
    several.

    Raises:
        ValueError, OSError: see read_result.
    """
    from benchmarks.comparison import read_result
    from cnn_model import get_network

    several = len({arch for arch, _, _ in runs}) > 1
    results: dict[str, list[Result]] = {}
    for (arch, method, _), (training, recipe) in runs.items():
        if training.finished():
            title = f"{get_network(arch).short_name} {method}" if several else method
            results.setdefault(title, []).append(read_result(training.folder, recipe, truth))
    return results


def draw_progress(path: Path, dataset: Dataset, options: argparse.Namespace, folders: dict[str, Path]) -> list[Path]:
    """Draw the training-progress figure of PROGRESS_METHODS: predictions of one validation face, epoch by epoch.

    Args:
        path: the picture.
        dataset: the data set.
        options: with `crop` and `data_dir`.
        folders: method -> folder of its run.

    Returns:
        the file; none where one of the methods was not trained, or the runs have no snapshots of the same epochs.
    """
    from benchmarks.comparison_plots import draw_progress_strip
    from face_datasets.face_dataset import load_faces
    from image_utility import transform
    from training.callbacks import read_snapshots

    files = {name: folders[name] / SNAPSHOTS_FILE for name in PROGRESS_METHODS if name in folders}
    if len(files) < len(PROGRESS_METHODS) or not all(file.is_file() for file in files.values()):
        return []
    snapshots = {name: read_snapshots(file) for name, file in files.items()}
    faces = load_faces(options.data_dir, dataset.name, "validation")
    shown = faces.names.index(snapshots[PROGRESS_METHODS[0]]["image"])  # the same in all, since the runs had its faces
    images, matrices = faces.crops(get_crop(options.crop), PROGRESS_PIXELS, [shown])
    shared = set.intersection(*(set(snapshot["epochs"]) for snapshot in snapshots.values()))
    if not shared:
        return []
    rows = {
        name: {epoch: transform(snapshot["epochs"][epoch], matrices[0]) for epoch in shared}
        for name, snapshot in snapshots.items()
    }
    draw_progress_strip(path, images[0], transform(faces.landmarks[shown], matrices[0]), rows)
    return [path]


def plan(options: argparse.Namespace) -> dict[tuple[str, str, int], tuple[Training, "Recipe"]]:
    """Return the trainings with their recipes: (network, method, seed) -> both. Seeds come last in the order.

    Raises:
        ValueError: an unknown name, nothing to train, or a folder that holds a run with other settings.
    """
    import train
    from cnn_model import get_network
    from methods import get_method
    from training.run_record import different_settings, read_record

    for name in ("methods", "archs", "seeds"):
        if not getattr(options, name):
            raise ValueError(f"nothing to train. Received no {name}; expected one or more")
    for method in options.methods:
        get_method(method)
    for arch in options.archs:
        get_network(arch)
    unused = sorted(options.learning_rates.keys() - set(options.methods))
    if unused:
        raise ValueError(f"learning rates of methods that are not trained. Received {unused}, not in {options.methods}")
    found = find_runs(options.run_dirs)
    runs = {}
    for seed, arch, method in itertools.product(options.seeds, options.archs, options.methods):
        words = ["--dataset", options.dataset, "--arch", arch, "--method", method, "--seed", str(seed)]
        given = {name: getattr(options, name) for name in TRAIN_OPTIONS}
        for name, value in (given | {"learning_rate": options.learning_rates.get(method)}).items():
            if value is not None:
                words += [f"--{name.replace('_', '-')}", str(value)]
        folder = Path(options.out) / RUNS_FOLDER / f"{get_network(arch).short_name}_{method}_{seed}"
        run = train.Train(train.get_config(train.parse_options(words), folder))
        training = Training(tuple(words), folder, run.recipe.epochs, run.recipe.patience)
        if training.begun:
            stored = read_record(folder / SETTINGS_FILE)["settings"]
            different = different_settings(stored, run.config.asdict())
            if different:
                raise ValueError(
                    f"{folder} holds a run with other settings. Received another {', '.join(different)}; "
                    "use another --out, or remove that folder"
                )
        else:
            training = _equal_run(found, run, training) or training
        runs[arch, method, seed] = training, run.recipe
    return runs


def find_runs(folders: list[str]) -> list[tuple[Path, dict]]:
    """Return the folders of all runs below these, with their settings; a settings.json without a state is no run's.

    Raises:
        ValueError: no such folder, or the record of a run is broken.
    """
    from training.run_record import read_record

    for folder in folders:
        if not Path(folder).is_dir():
            raise ValueError(f"no such folder of runs. Received {folder}")
    files = [file for folder in folders for file in sorted(Path(folder).rglob(SETTINGS_FILE))]
    files = [file for file in files if (file.parent / STATE_FILE).is_file()]
    return [(file.parent, read_record(file)["settings"]) for file in files]


def _equal_run(found: list[tuple[Path, dict]], run: "Train", training: Training) -> Training | None:
    """Return the first finished run with the same settings, None where there is none."""
    from training.run_record import different_settings

    for folder, settings in found:
        other = dataclasses.replace(training, folder=folder)
        if not different_settings(settings, run.config.asdict()):
            if other.finished():
                return other
            print(f"{folder} is not used: it is {other.stage()}", file=sys.stderr)
    return None


def describe(dataset: Dataset, options: argparse.Namespace, results: dict[str, list["Result"]]) -> str:
    """Return a description of the runs for the head of the table."""
    first = next(iter(results.values()))[0]
    settings, faces = first.settings, first.faces
    recipe = settings["recipe"]
    runs = [run for entry in results.values() for run in entry]
    commits, ends = sorted({run.commit for run in runs}), sorted({int(run.steps[-1]) for run in runs})
    at_most, steps = ("", f"{ends[0]:,}") if len(ends) == 1 else (" at most", f"{ends[0]:,} to {ends[-1]:,}")
    warning = "" if len(commits) == 1 else "Warning, the runs are of different commits: "
    rates = {title: entry[0].settings["recipe"]["learning_rate"] for title, entry in results.items()}
    rate = "learning rates " + ", ".join(f"{title} {value:g}" for title, value in rates.items())
    if len(set(rates.values())) == 1:
        rate = f"learning rate {recipe['learning_rate']:g}"
    return (
        f"{dataset.title}: {', '.join(options.archs)} at {settings['input_size']} px, recipe {recipe['name']}, "
        f"{recipe['epochs']} epochs{at_most} ({steps} steps of {recipe['batch_size']} faces), crop "
        f"{settings['crop']}, {settings['precision']}, {rate}, seeds {', '.join(map(str, options.seeds))}. Trained on "
        f"{faces['train']['n']} faces; the best epoch chosen on {faces['validation']['n']} validation faces. "
        f"{warning or 'Commit '}{', '.join(commits)}."
    )


def parse_options(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return the options of a command line."""
    parser = argparse.ArgumentParser(description="Train methods x networks x seeds and compare them.")
    add = parser.add_argument
    add_data_options(parser)
    add("--methods", type=names, help="methods, with commas; default: all that regress landmarks with the usual head")
    archs = ", ".join(ModelArch)
    add("--archs", type=names, default=[str(ModelArch.MNV2)], help=f"networks of {archs}; default: {ModelArch.MNV2}")
    some = [SEED, SEED + 1, SEED + 2]
    add("--seeds", type=seeds, default=some, help=f"seeds, with commas; default: {','.join(map(str, some))}")
    add("--recipe", help="recipe of all runs; default: the data set's")
    add("--crop", default=DEFAULT_CROP, choices=sorted(CROPS), help="crop around a face; default: %(default)s")
    add("--epochs", type=int, help="number of epochs; default: the recipe's")
    add("--input-size", type=int, help="side of the input in pixels; default: the recipe's")
    add("--batch-size", type=int, help="faces of a step; default: the recipe's")
    add(
        "--learning-rates",
        type=learning_rates,
        default={},
        metavar="METHOD=RATE,...",
        help="learning rates of single methods; default: the recipe's",
    )
    add("--max-faces", type=int, help="number of training faces, drawn at random; default: all")
    add("--precision", default="float32", help="Keras dtype policy of all runs; default: %(default)s")
    add("--jobs", type=int, default=1, help="trainings side by side, one thread each; default: %(default)s")
    add("--run-dir", dest="run_dirs", action="append", default=[], help="folder of finished runs to use; repeatable")
    add("--out", required=True, help="folder for runs, tables and pictures")
    return parser.parse_args(arguments)


def work(options: argparse.Namespace) -> None:
    """Train, compare, and print the table and the names of the files."""
    files = compare_losses(options)
    print(files[0].read_text(encoding="utf-8"))
    print("\n".join(map(str, files)))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    options = parse_options(arguments)
    return cli.run(lambda: work(options), "losses", "stopped; the same command resumes")


if __name__ == "__main__":
    sys.exit(main())
