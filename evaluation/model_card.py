"""The model card of published weights: training, figures, failures. Every number comes from the record."""

import shlex
from pathlib import Path

from config import BEST_FILE, FAILURE_THRESHOLDS, LAST_FILE
from face_datasets.catalogue import Dataset, get_dataset
from methods import get_method
from metrics import FIGURES
from training.recipes import Recipe


def model_card(record: dict) -> str:
    """Return the model card, Markdown.

    Args:
        record: content of the JSON file that evaluation/publish.py writes beside a weights file.
    """
    parts = [_head(record), _training(record)]
    parts += [_figures(record), _failures(record)] if "test" in record else [_validated(record)]
    return "\n\n".join([*parts, _cautions(record), _terms(record)]) + "\n"


def _head(record: dict) -> str:
    settings, file = record["settings"], record["file"]
    size, head = settings["input_size"], " with the soft-argmax head" * bool(settings["recipe"].get("spatial"))
    return "\n".join(
        [
            f"# {file['name']}",
            "",
            f"{settings['arch']}{head}, method `{settings['method']}`: {settings['points']} "
            f"landmarks of {settings['dataset']} from a crop of {size} x {size} pixels (`{settings['crop']}`), "
            f"{record['parameters']:,} parameters.",
            "",
            f"Weights in {file['precision']}, {file['bytes'] / 2**20:.1f} MiB, SHA-256 `{file['sha256']}`.",
        ]
    )


def _training(record: dict) -> str:
    settings, training = record["settings"], record["training"]
    machine, epochs = training["machine"], training["epochs"]
    faces, recipe = record["faces"]["train"]["n"], settings["recipe"]
    sets = " and ".join(dataset.title for dataset in _sets(settings))
    steps = Recipe.from_dict(recipe).steps_per_epoch(faces)
    times = epochs * steps * recipe["batch_size"] / faces
    rows = {
        "faces": f"{faces:,} of {sets}; {epochs} epochs of {steps:,} steps show each of them {times:.1f} times "
        "on average, augmented anew each time",
        "recipe": f"`{recipe['name']}`: batch {recipe['batch_size']}, rate {recipe['learning_rate']:g} "
        f"({recipe['decay']}), seed {settings['seed']}, {settings['precision']}",
        "started from": _start(record),
        "commit": f"`{record['commit']}`",
        "command": f"`{_command(training['command'])}`",
        "time": f"{training['seconds'] / 60:.1f} minutes on {machine['gpu'] or machine['processor']}, "
        f"{machine['cores']} cores",
    }
    table = _table(["", ""], [[name, text] for name, text in rows.items()])
    return _section("Training", "\n\n".join([table, *_stages(record)]))


def _validated(record: dict) -> str:
    validation = record["validation"]
    return _section(
        "Figures",
        f"{validation['normaliser']} NME {validation['nme']:.3f} % on the {validation['n']} validation faces, on which "
        "the epoch was chosen. No test faces were available.",
    )


def _figures(record: dict) -> str:
    """Return the errors by subset, normaliser, part and pose."""
    test, validation = record["test"], record["validation"]
    rows = []
    for title, evaluation in (("single crop", test), ("flip test", record["test_flip"])):
        for normaliser, block in evaluation["normalisers"].items():
            for subset, row in block["subsets"].items():
                count = f"{row['n']} of {row['n_official']}" if row["n_official"] else str(row["n"])
                numbers = [f"{row['nme']:.2f}", f"{row['median']:.2f}", *(f"{row[name]:.4f}" for name in FIGURES)]
                rows.append([title, normaliser, subset, count, *numbers])
    header = ["", "normaliser", "subset", "faces", "NME %", "median %", *(name.upper() for name in FIGURES)]
    full = test["subsets"]["full"]
    missing = ", ".join(f"{part['part']} ({part['count']})" for part in record["missing"])
    texts = [
        _table(header, rows),
        f"Validation ({validation['n']} faces, on which the epoch was chosen): {validation['nme']:.3f} %.",
        f"By part of the face ({test['normaliser']} NME % of all {full['n']} faces):",
        _table([*test["parts"]], [[f"{error:.2f}" for error in test["parts"].values()]]),
        "By head pose, in bins of equal width along the shape mode that turns the head, from side to side:",
        _table(["faces", "NME %"], [[str(pose["n"]), f"{pose['nme']:.2f}"] for pose in record["poses"]]),
    ]
    if missing:
        texts.insert(1, f"Not available when this was measured: {missing}.")
    return _section("Figures on test faces", "\n\n".join(texts))


def _failures(record: dict) -> str:
    full = record["test"]["subsets"]["full"]
    fractions = ", ".join(f"{full[f'fr@{limit:g}']:.1%} above {limit:g} %" for limit in FAILURE_THRESHOLDS)
    worst = _table(["face", "NME %"], [[f"`{face['image']}`", f"{face['nme']:.2f}"] for face in record["worst"]])
    return _section("Where it fails", f"Of {full['n']} test faces {fractions}. The worst:\n\n{worst}")


def _cautions(record: dict) -> str:
    points = [
        "Skin tone, age and gender are not annotated in the training or test faces, so errors by group were not "
        "measured and may differ. Measure on your own data before you rely on the network.",
        "Training faces are photographs from the web, with few faces seen from the side; the figures by pose, if there "
        "are any, show the effect. Beyond a profile the network still predicts landmarks.",
        "Landmarks behind hands, hair, masks or glasses are guesses from the rest of the face.",
        "Figures hold for a crop around the box of the true landmarks; with a detector's box errors can be larger.",
        "The network finds points. It does not identify people, and inferring emotions or health from the points was "
        "not tested.",
    ]
    return _section("Limitations", "\n".join(f"- {point}" for point in points))


def _terms(record: dict) -> str:
    before = [get_dataset(name) for stage in record["stages"] for name in stage["sets"] or ()]
    sets = {dataset.name: dataset for dataset in [*_sets(record["settings"]), *before]}
    lines = [f"- {dataset.title}: {dataset.terms}." for dataset in sets.values()]
    if any(stage["sets"] is None for stage in record["stages"]):
        lines.append("- and those of the data that the start weights were trained on.")
    text = "Weights follow the terms of the faces they were trained on:"
    return _section("Terms", f"{text}\n\n" + "\n".join(lines))


def _start(record: dict) -> str:
    """Return what the run started from."""
    start = record["settings"]["start_weights"]
    return f"`{_short(start)}`" if start else "random weights"


def _stages(record: dict) -> list[str]:
    """Return the runs before this one as paragraphs; none if it started from random weights."""
    if not record["stages"]:
        return []
    lines = []
    for stage in reversed(record["stages"]):
        sets = " and ".join(get_dataset(name).title for name in stage["sets"] or ()) or "faces unknown"
        time = "" if stage["seconds"] is None else f", {stage['seconds'] / 60:.1f} minutes"
        lines.append(f"# {_short(stage['weights'])}: {sets}{time}")
        lines += [_command(stage["command"])] if stage["command"] else []
    return ["The runs before it, in order:", "\n".join(["```", *lines, "```"])]


def _command(text: str) -> str:
    """Return a command line without the folders of the machine where it ran."""
    return shlex.join(map(_short, shlex.split(text)))


def _short(word: str) -> str:
    """Return the name of an absolute path, or of the value of an option; of a run's weights also that of their folder.
    Other words stay as they are."""
    option, is_option, value = word.rpartition("=")
    path = Path(value)
    if not path.is_absolute():
        return word
    return option + is_option + "/".join(path.parts[-2:] if path.name in (BEST_FILE, LAST_FILE) else path.parts[-1:])


def _sets(settings: dict) -> list[Dataset]:
    """Return the data sets whose faces the network was trained on."""
    names = [
        settings["dataset"],
        *settings.get("extra_datasets", []),
        *get_method(settings["method"]).auxiliary_datasets,
    ]
    return list({dataset.name: dataset for dataset in map(get_dataset, names)}.values())


def _section(title: str, text: str) -> str:
    return f"## {title}\n\n{text}"


def _table(header: list[str], rows: list[list[str]]) -> str:
    """Return a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
