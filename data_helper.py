"""Prepares a data set: raw files (or the renderer) become stored faces, an index and normalised labels.

    python data_helper.py --dataset synthetic
    python data_helper.py --dataset 300W --raw ~/downloads/300W --out data
    python data_helper.py --dataset 300W --raw ~/downloads/300W --extra --copies 0

What it writes below <data root>/<data set>/:

    faces/                the stored faces: upright squares around each face, see config.STORED_FACE
    normalized_labels/    labels.npy: training landmarks as a network's targets, upright and moved, for the shape model
    truth_<split>.json    true landmarks of validation, test and private faces, as metrics.py reads them
    index.json            every face: its split, landmarks and the matrix from its image to its stored face
    journal.jsonl         finished faces; an interrupted run goes on where it stopped

A stored face has a name that changes with its source, and the index is renamed into place last. So at every moment the
old index and its faces are whole, or the new ones are.
"""

import argparse
import dataclasses
import hashlib
import json
import os
import sys
from collections import Counter
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import numpy as np

from config import (
    CROPS,
    DATA_DIR,
    DEFAULT_CROP,
    INDEX_FILE,
    INDEX_VERSION,
    JOURNAL_FILE,
    SEED,
    SETTINGS_FILE,
    STORED_FACE,
    DatasetName,
    get_crop,
)
from face_datasets.catalogue import (
    EVALUATED_SPLITS,
    MIN_RENDER_SIZE,
    TITLES,
    VALIDATION_FRACTION,
    Dataset,
    Part,
    get_dataset,
    truth_file,
)
from face_datasets.normalisers import BOX
from face_datasets.readers import Annotation, SkippedFace, find_parts, read_part
from face_datasets.stored_faces import finished_entries, read_journal, store_records
from pca_utility import labels_folder, normalised_labels
from training.recipes import get_recipe
from utils.files import atomic_write, folder_lock, write_text, write_texts

AUGMENTED_COPIES = 4  # moved copies of each training face in the normalised labels


LABELS_FILE, MADE_FROM_FILE = "labels.npy", "made_from.json"
REASONS_SHOWN = 10  # how many skipped faces the summary names


def prepare(
    dataset_name: str,
    raw_dir: str | os.PathLike | None = None,
    data_dir: str | os.PathLike = DATA_DIR,
    copies: int = AUGMENTED_COPIES,
    crop: str = DEFAULT_CROP,
    seed: int = SEED,
    extra: bool = False,
    workers: int | None = None,
    faces: int | None = None,
    size: int | None = None,
    records: int | None = None,
    wait: bool = False,
) -> dict:
    """Prepares a data set below `data_dir`; redoes only what changed since the last run, and prints what there is.

    Args:
        dataset_name: "300W", "COFW", ... as in config.DATASETS.
        raw_dir: the unpacked data set; not needed for "synthetic".
        copies: moved copies of every training face in the normalised labels; 0 keeps them upright.
        crop: a row of config.CROPS, the crop of the normalised labels.
        seed: of the moved copies. The held-out faces do not depend on it.
        extra: also take the extra training parts.
        faces, size: how many training faces to render, and the side of all rendered pictures in pixels; by default as
            config.DATASETS says. Only for a set that is rendered.
        records: also write the training faces as sharded records, which training can stream: so many rendered ones, or
            0 for those of the index. None leaves records alone.
        workers: processes; by default one for each core. With more than 1, a script that calls this must guard its own
            start with `if __name__ == "__main__":`.
        wait: where another run is preparing the same data set in the same place, wait until it has done.

    Returns:
        The index, as written to index.json.

    Raises:
        ValueError: an unknown name, an impossible number, a raw file of another layout, or no usable face at all.
        FileNotFoundError: the raw folder holds none of the set's parts.
        BlockingIOError: another run is preparing the same data set in the same place, and `wait` is False.
        OSError: the data root cannot be written; a previous index stays valid.
    """
    dataset = _resized(get_dataset(dataset_name), faces, size)
    get_crop(crop)
    if records is not None and (records < 0 or (records and not dataset.rendered)):
        raise ValueError(f"only rendered faces can be chosen in number. Received {records} records of {dataset.title}")
    if copies < 0 or (workers is not None and workers < 1):
        raise ValueError(f"copies must be 0 or more, workers 1 or more. Received {copies} and {workers}")
    parts, missing = find_parts(dataset, raw_dir, extra)
    workers = workers or os.cpu_count() or 1
    faces_found, bad = _read_faces(dataset, parts, raw_dir)
    folder = Path(data_dir) / dataset.name
    with folder_lock(folder, None if wait else "another run is preparing"):
        entries = finished_entries(folder, dataset, faces_found, workers)
        kept, dropped = _split_faces(dataset, faces_found, entries)
        skipped = [{"file": face.file, "reason": face.reason, "part": face.part.name} for face in bad + dropped]
        if not kept:
            first = f"{skipped[0]['file']}: {skipped[0]['reason']}" if skipped else "its files hold no face"
            raise ValueError(f"no face of {dataset.title} in {raw_dir} can be used. {len(skipped)} skipped; {first}")
        options = {"copies": copies, "crop": crop, "seed": seed, "extra": extra}
        if dataset.rendered:
            options |= {"faces": dataset.parts[0].count, "size": dataset.render_size}
        index = {
            "dataset": dataset.title,
            "version": INDEX_VERSION,
            "stored": dataclasses.asdict(STORED_FACE),
            "options": options,
            "missing": [{"part": part.name, "count": part.count} for part in missing],
            "skipped": skipped,
            "faces": kept,
        }
        changed = _write_labels(folder, dataset, kept, options)
        changed |= _publish(folder, index)
        _remove_superseded(folder, faces_found, entries)
        if records is not None:
            shards = store_records(folder, dataset, index, records, workers)
    _print_summary(dataset, index, entries)
    if records is not None:
        print(f"{sum(shards.values())} training faces in {len(shards)} files of records")
    print(f"{folder}: {'prepared' if changed else 'nothing to do, everything is up to date'}")
    return index


def _resized(dataset: Dataset, faces: int | None, size: int | None) -> Dataset:
    """A rendered data set with another number of training faces, or pictures of another size."""
    asked = {name: value for name, value in (("faces", faces), ("size", size)) if value is not None}
    if not asked:
        return dataset
    if not dataset.rendered:
        raise ValueError(f"only rendered faces can be chosen in number and size. Received {asked} for {dataset.title}")
    least = {"faces": 1, "size": MIN_RENDER_SIZE}
    for name, value in asked.items():
        if value < least[name]:
            raise ValueError(f"{name} is too small. Received {value}; {least[name]} or more is right")
    train, *others = dataset.parts
    train = dataclasses.replace(train, count=train.count if faces is None else faces)
    return dataclasses.replace(dataset, parts=(train, *others), render_size=size or dataset.render_size)


def prepare_embedded(data_dir: str | os.PathLike = DATA_DIR, crop: str = DEFAULT_CROP) -> None:
    """Renders the embedded faces where that is not done yet; those that are there keep the options they have. Trainings
    that are started side by side wait for the one that renders."""
    index = Path(data_dir) / DatasetName.synthetic / INDEX_FILE
    options = json.loads(index.read_text(encoding="utf-8"))["options"] if index.is_file() else {}
    prepare(DatasetName.synthetic, data_dir=data_dir, wait=True, **{**options, "crop": crop})


def _read_faces(dataset: Dataset, parts: list[Part], raw_dir) -> tuple[list[Annotation], list[SkippedFace]]:
    """All faces of the parts in order, and those that cannot be used."""
    faces = [face for part in parts for face in read_part(dataset, part, raw_dir)]
    return [f for f in faces if isinstance(f, Annotation)], [f for f in faces if isinstance(f, SkippedFace)]


def _split_faces(
    dataset: Dataset, raw_faces: list[Annotation], entries: list[dict]
) -> tuple[list[dict], list[SkippedFace]]:
    """Gives every stored face its split; faces that cannot be used, or would leak into training, are dropped.

    Returns:
        The index's faces in order, and the dropped ones with their reasons.
    """
    pairs = list(zip(raw_faces, entries, strict=True))
    bad = [SkippedFace(raw.image, entry["reason"], raw.part) for raw, entry in pairs if "reason" in entry]
    stored = [(raw, entry["face"]) for raw, entry in pairs if "face" in entry]
    tested = {raw.photo for raw in raw_faces if raw.part.split != "train"}
    held_out = set()
    for part in dataset.parts:
        photos = [raw.photo for raw, _ in stored if raw.part == part and raw.photo not in tested]
        held_out |= _held_out(photos, part.validation)
    faces = []
    for raw, face in stored:
        split = raw.part.split
        if split == "train" and raw.photo in tested:
            bad.append(SkippedFace(raw.image, f"photo {raw.photo} is also in the test set", raw.part))
            continue
        if split == "train" and raw.photo in held_out:
            if not raw.part.validation:
                bad.append(SkippedFace(raw.image, f"photo {raw.photo} is held out for validation", raw.part))
                continue
            split = "validation"
        faces.append({**face, "split": split})
    return faces, bad


def _held_out(photos: list[str], count: int) -> set[str]:
    """The photographs whose faces are held out for validation; `photos` names one for every face of the part.

    A photograph's rank is a hash of its name, so the choice depends neither on the seed nor on the other parts, and
    hardly on which faces of this part are there.
    """
    faces = Counter(photos)
    room = min(count, int(VALIDATION_FRACTION * len(photos)))
    chosen = set()
    for photo in sorted(faces, key=lambda name: hashlib.sha256(name.encode()).hexdigest()):
        if faces[photo] <= room:
            chosen.add(photo)
            room -= faces[photo]
    return chosen


# --------------------------------------------------------------------------------------------------------------------
# Labels, truth, index
# --------------------------------------------------------------------------------------------------------------------


def _write_labels(folder: Path, dataset: Dataset, faces: list[dict], options: dict) -> bool:
    """Writes the normalised labels of the training faces unless they are there already; says whether it did.

    made_from.json beside them says what they follow from. It is taken away before new labels come and put back after,
    so labels never lie beside a note that is not theirs.
    """
    crop = options["crop"]
    labels_dir = labels_folder(folder.parent, dataset, crop)
    labels_path, note_path = labels_dir / LABELS_FILE, labels_dir / MADE_FROM_FILE
    landmarks = np.array([face["landmarks"] for face in faces if face["split"] == "train"])  # (n, points, 2)
    if not len(landmarks):
        note_path.unlink(missing_ok=True)
        labels_path.unlink(missing_ok=True)
        return False
    made_from = {
        **{name: options[name] for name in ("crop", "copies", "seed")},
        "faces": len(landmarks),
        "landmarks": hashlib.sha256(landmarks.tobytes()).hexdigest(),
        "augmentation": dataclasses.asdict(get_recipe(dataset).augmentation),
    }
    text = json.dumps(made_from, indent=1) + "\n"
    if labels_path.exists() and _holds(note_path, text):
        return False
    recipe = get_recipe(dataset)
    labels = normalised_labels(
        landmarks,
        dataset.layout.partners,
        get_crop(crop),
        recipe.input_size,
        recipe.augmentation,
        options["copies"],
        options["seed"],
    )
    note_path.unlink(missing_ok=True)
    (labels_dir / SETTINGS_FILE).unlink(missing_ok=True)  # the note's name in older versions
    with atomic_write(labels_path) as temporary:
        np.save(temporary, labels, allow_pickle=False)
    write_text(note_path, text)
    return True


def _publish(folder: Path, index: dict) -> bool:
    """Writes the truth files and the index where they differ from what is there; says whether anything did."""
    texts = {}
    for split in EVALUATED_SPLITS:
        names = ["image", "landmarks", "subsets"] + ["box"] * (get_dataset(index["dataset"]).normaliser == BOX)
        truth = [{name: face[name] for name in names} for face in index["faces"] if face["split"] == split]
        if truth:
            texts[folder / truth_file(split)] = json.dumps(truth) + "\n"
    texts[folder / INDEX_FILE] = json.dumps(index) + "\n"  # the last to be renamed: it makes the rest valid
    changed = {path: text for path, text in texts.items() if not _holds(path, text)}
    write_texts(changed)
    for split in EVALUATED_SPLITS:
        if folder / truth_file(split) not in texts:
            (folder / truth_file(split)).unlink(missing_ok=True)
    return bool(changed)


def _holds(path: Path, text: str) -> bool:
    """Whether a file holds just this text."""
    return path.exists() and path.read_text(encoding="utf-8") == text


def _remove_superseded(folder: Path, raw_faces: list[Annotation], entries: list[dict]) -> None:
    """Deletes stored faces whose source or annotation has changed since; the new index no longer names them.

    Faces of parts that were left out this time stay, so that --extra can come and go without doing them again.
    """
    current = {entry["key"] for entry in entries}
    images = {(raw.part.name, raw.image) for raw in raw_faces}
    journal = read_journal(folder)
    old = {
        key: entry["face"]["file"]
        for key, entry in journal.items()
        if key not in current and (entry["face"]["part"], entry["face"]["image"]) in images
    }
    if not old:
        return
    for file in old.values():
        (folder / file).unlink(missing_ok=True)
    kept = "".join(json.dumps(entry) + "\n" for key, entry in journal.items() if key not in old)
    write_text(folder / JOURNAL_FILE, kept)


# --------------------------------------------------------------------------------------------------------------------
# Command line
# --------------------------------------------------------------------------------------------------------------------


def _print_summary(dataset: Dataset, index: dict, entries: list[dict]) -> None:
    """Prints what was found of what the set officially has, what was skipped and why, and the splits."""
    skipped = Counter(face["part"] for face in index["skipped"])
    found = Counter(face["part"] for face in index["faces"])
    print(f"{'part':<30} {'split':<8} {'found':>6} {'official':>8} {'skipped':>7}")
    for part in dataset.parts:
        if part.extra and not index["options"]["extra"]:
            continue
        absent = "  missing" if part.name in {row["part"] for row in index["missing"]} else ""
        name = part.name if len(part.name) <= 30 else f"...{part.name[-27:]}"
        print(f"{name:<30} {part.split:<8} {found[part.name]:>6} {part.count:>8} {skipped[part.name]:>7}{absent}")
    splits = Counter(face["split"] for face in index["faces"])
    print(", ".join(f"{split}: {splits[split]} faces" for split in ("train", *EVALUATED_SPLITS) if splits[split]))
    outside = [entry["outside"] for entry in entries if entry.get("outside")]
    if outside:
        print(f"{sum(outside)} landmarks of {len(outside)} faces lie outside their images; that is normal, they stay")
    test_parts = {part.name for part in dataset.parts if part.split != "train"}
    training = [face for face in index["skipped"] if face["part"] not in test_parts]
    for face in training[:REASONS_SHOWN]:
        print(f"skipped {face['file']}: {face['reason']}")
    if len(training) > REASONS_SHOWN:
        print(f"... and {len(training) - REASONS_SHOWN} more; index.json names them all")
    for face in index["skipped"]:
        if face["part"] in test_parts:
            print(f"PROBLEM: a TEST face will be missing. {face['file']}: {face['reason']}", file=sys.stderr)


def main(arguments: list[str] | None = None) -> int:
    """The command line; gives the exit status."""
    parser = argparse.ArgumentParser(description="Prepares a data set for training and evaluation.")
    add = parser.add_argument
    add("--dataset", required=True, help=f"one of {TITLES}")
    add("--raw", help="folder of the unpacked data set (not for synthetic)")
    add("--out", "--data-dir", dest="data_dir", default=DATA_DIR, help="data root (default: %(default)s)")
    add("--copies", type=int, default=AUGMENTED_COPIES, help="moved copies of each face in the normalised labels")
    add("--crop", default=DEFAULT_CROP, choices=sorted(CROPS), help="crop of the normalised labels")
    add("--seed", type=int, default=SEED, help="seed of the moved copies")
    add("--extra", action="store_true", help="also take extra training parts (300W: helen_recovered)")
    add("--faces", type=int, help="rendered training faces (only synthetic)")
    add("--size", type=int, help="side of the rendered pictures in pixels (only synthetic)")
    add(
        "--records",
        type=int,
        nargs="?",
        const=0,
        help="also write training faces as records to stream: those there are, or this many (only synthetic)",
    )
    add("--workers", type=int, help="processes (default: one for each core)")
    given = vars(parser.parse_args(arguments))
    try:
        prepare(given.pop("dataset"), given.pop("raw"), **given)
    except KeyboardInterrupt:
        print(
            "data_helper.py: interrupted. Finished faces are kept; the same command goes on from there", file=sys.stderr
        )
        return 130
    except BrokenProcessPool:
        print("data_helper.py: a worker process died, perhaps for want of memory. Try --workers 1", file=sys.stderr)
        return 1
    except (ValueError, OSError, ImportError) as error:
        print(f"data_helper.py: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
