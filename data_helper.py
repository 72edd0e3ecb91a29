"""Prepare a data set: raw files, or the renderer, become stored faces, an index and normalised labels.

    python data_helper.py --dataset synthetic
    python data_helper.py --dataset 300W --raw ~/downloads/300W --out data
    python data_helper.py --dataset 300W --raw ~/downloads/300W --extra-parts --augmented-copies 0

Files below <data root>/<data set>/:

    faces/                the stored faces: upright squares around each face, see config.STORED_FACE
    normalized_labels/    labels.npy: training landmarks as network targets, upright and augmented, for the shape model
    truth_<split>.json    true landmarks of validation, test and private faces, as metrics.py reads them
    index.json            every face: its split, landmarks and the matrix from its image to its stored face
    journal.jsonl         finished faces; an interrupted run resumes from it

The name of a stored face changes with its source, and the index is renamed last. So at every moment either the old
index and its faces are valid, or the new ones are.
"""

import argparse
import dataclasses
import hashlib
import json
import os
import sys
from collections import Counter
from collections.abc import Sequence
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
from face_datasets.stored_faces import read_journal, store_faces, store_records
from pca_utility import labels_folder, normalised_labels
from training.recipes import get_recipe
from utils import cli
from utils.files import atomic_write, folder_lock, write_text, write_texts

AUGMENTED_COPIES = 4  # of each training face in the normalised labels
LABELS_FILE, MADE_FROM_FILE = "labels.npy", "made_from.json"
REASONS_SHOWN = 10  # how many skipped faces the summary names


def prepare(
    dataset_name: str,
    raw_dir: str | os.PathLike | None = None,
    data_dir: str | os.PathLike = DATA_DIR,
    augmented_copies: int = AUGMENTED_COPIES,
    crop: str = DEFAULT_CROP,
    seed: int = SEED,
    extra_parts: bool = False,
    workers: int | None = None,
    faces: int | None = None,
    size: int | None = None,
    records: int | None = None,
    wait: bool = False,
) -> dict:
    """Prepare a data set below `data_dir`, redoing only what changed since the last run, and print a summary.

    Args:
        dataset_name: "300W", "COFW", ... as in catalogue.DATASETS.
        raw_dir: the unpacked data set; not needed for "synthetic".
        data_dir: the data root.
        augmented_copies: of every training face in the normalised labels; 0 keeps them upright.
        crop: a row of config.CROPS, the crop of the normalised labels.
        seed: of the augmented copies. The held-out faces do not depend on it.
        extra_parts: whether to read the extra training parts too.
        workers: number of processes; None is one for each core. With more than 1, a script that calls this function
            must guard its own start with `if __name__ == "__main__":`.
        faces: number of training faces to render; None is that of catalogue.DATASETS. Only for rendered sets.
        size: side of rendered pictures in pixels; None is that of catalogue.DATASETS. Only for rendered sets.
        records: number of faces to render into sharded records, which training can stream; 0 takes the training faces
            of the index. None writes no records.
        wait: whether to wait while another run prepares the same data set in the same folder.

    Returns:
        The index, as written to index.json.

    Raises:
        ValueError: an unknown name, a number out of range, a raw file of another layout, or no usable face at all.
        FileNotFoundError: the raw folder holds none of the set's parts.
        BlockingIOError: another run prepares the same data set in the same folder, and `wait` is False.
        OSError: the data root cannot be written; a previous index stays valid.
    """
    dataset = _resize(get_dataset(dataset_name), faces, size)
    get_crop(crop)
    if records is not None and (records < 0 or (records and not dataset.rendered)):
        raise ValueError(f"only rendered faces can be chosen in number. Received {records} records of {dataset.title}")
    if augmented_copies < 0 or (workers is not None and workers < 1):
        raise ValueError(
            "augmented_copies must be 0 or more, workers 1 or more. "
            f"Received augmented_copies={augmented_copies}, workers={workers}"
        )
    parts, missing = find_parts(dataset, raw_dir, extra_parts)
    workers = workers or os.cpu_count() or 1
    annotations, skipped = _read_annotations(dataset, parts, raw_dir)
    folder = Path(data_dir) / dataset.name
    with folder_lock(folder, None if wait else "another run is preparing"):
        entries = store_faces(folder, dataset, annotations, workers)
        kept, dropped = _split_faces(dataset, annotations, entries)
        skipped = [{"file": face.file, "reason": face.reason, "part": face.part.name} for face in skipped + dropped]
        if not kept:
            first = f"{skipped[0]['file']}: {skipped[0]['reason']}" if skipped else "its files hold no face"
            raise ValueError(f"no face of {dataset.title} in {raw_dir} can be used. {len(skipped)} skipped; {first}")
        options = {"copies": augmented_copies, "crop": crop, "seed": seed, "extra": extra_parts}
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
        changed |= _write_index(folder, index)
        _remove_superseded(folder, annotations, entries)
        if records is not None:
            shards = store_records(folder, dataset, index, records, workers)
    _print_summary(dataset, index, entries)
    if records is not None:
        print(f"{sum(shards.values())} training faces in {len(shards)} files of records")
    print(f"{folder}: {'prepared' if changed else 'nothing to do, everything is up to date'}")
    return index


def _resize(dataset: Dataset, faces: int | None, size: int | None) -> Dataset:
    """Return a rendered data set with another number of training faces, or with pictures of another size."""
    given = {name: value for name, value in (("faces", faces), ("size", size)) if value is not None}
    if not given:
        return dataset
    if not dataset.rendered:
        raise ValueError(f"only rendered faces can be chosen in number and size. Received {given} for {dataset.title}")
    minimum = {"faces": 1, "size": MIN_RENDER_SIZE}
    for name, value in given.items():
        if value < minimum[name]:
            raise ValueError(f"{name} is too small. Received {value}; expected {minimum[name]} or more")
    train, *others = dataset.parts
    train = dataclasses.replace(train, count=train.count if faces is None else faces)
    return dataclasses.replace(dataset, parts=(train, *others), render_size=size or dataset.render_size)


def prepare_embedded(data_dir: str | os.PathLike = DATA_DIR, crop: str = DEFAULT_CROP) -> None:
    """Prepare the rendered faces unless they are up to date; faces that exist keep their options.

    Trainings that are started at the same time wait for the one that renders.
    """
    index = Path(data_dir) / DatasetName.synthetic / INDEX_FILE
    options = json.loads(index.read_text(encoding="utf-8"))["options"] if index.is_file() else {}
    prepare(
        DatasetName.synthetic,
        data_dir=data_dir,
        augmented_copies=options.get("copies", AUGMENTED_COPIES),
        crop=crop,
        seed=options.get("seed", SEED),
        faces=options.get("faces"),
        size=options.get("size"),
        wait=True,
    )


def _read_annotations(dataset: Dataset, parts: list[Part], raw_dir) -> tuple[list[Annotation], list[SkippedFace]]:
    """Return all faces of the parts in order, and those that cannot be used."""
    faces = [face for part in parts for face in read_part(dataset, part, raw_dir)]
    return [f for f in faces if isinstance(f, Annotation)], [f for f in faces if isinstance(f, SkippedFace)]


def _split_faces(
    dataset: Dataset, annotations: list[Annotation], entries: list[dict]
) -> tuple[list[dict], list[SkippedFace]]:
    """Assign every stored face to its split; skip faces that cannot be used, or would leak into training.

    Returns:
        The index's faces in order, and the skipped ones.
    """
    pairs = list(zip(annotations, entries, strict=True))
    skipped = [SkippedFace(face.image, entry["reason"], face.part) for face, entry in pairs if "reason" in entry]
    stored = [(face, entry["face"]) for face, entry in pairs if "face" in entry]
    tested = {face.photo_id for face in annotations if face.part.split != "train"}
    held_out = set()
    for part in dataset.parts:
        photo_ids = [face.photo_id for face, _ in stored if face.part == part and face.photo_id not in tested]
        held_out |= _hold_out(photo_ids, part.validation)
    rows = []
    for face, row in stored:
        split = face.part.split
        if split == "train" and face.photo_id in tested:
            skipped.append(SkippedFace(face.image, f"photo {face.photo_id} is also in the test set", face.part))
            continue
        if split == "train" and face.photo_id in held_out:
            if not face.part.validation:
                reason = f"photo {face.photo_id} is held out for validation"
                skipped.append(SkippedFace(face.image, reason, face.part))
                continue
            split = "validation"
        rows.append({**row, "split": split})
    return rows, skipped


def _hold_out(photo_ids: list[str], count: int) -> set[str]:
    """Return the photographs whose faces are held out for validation.

    A photograph's rank is a hash of its name, so the choice depends neither on the seed nor on the other parts, and
    hardly on which faces of this part exist.

    Args:
        photo_ids: the photograph of every face of the part.
        count: number of faces to hold out, at most VALIDATION_FRACTION of the part.
    """
    faces = Counter(photo_ids)
    remaining = min(count, int(VALIDATION_FRACTION * len(photo_ids)))
    chosen = set()
    for photo_id in sorted(faces, key=lambda name: hashlib.sha256(name.encode()).hexdigest()):
        if faces[photo_id] <= remaining:
            chosen.add(photo_id)
            remaining -= faces[photo_id]
    return chosen


# --------------------------------------------------------------------------------------------------------------------
# Labels, truth, index
# --------------------------------------------------------------------------------------------------------------------


def _write_labels(folder: Path, dataset: Dataset, faces: list[dict], options: dict) -> bool:
    """Write the normalised labels of the training faces unless they are up to date; return whether it did.

    made_from.json beside them lists what they follow from. It is removed before new labels are written and written
    after them, so that it never describes other labels.
    """
    crop = options["crop"]
    labels_dir = labels_folder(folder.parent, dataset, crop)
    labels_path, made_from_path = labels_dir / LABELS_FILE, labels_dir / MADE_FROM_FILE
    landmarks = np.array([face["landmarks"] for face in faces if face["split"] == "train"])  # (n, points, 2)
    if not len(landmarks):
        made_from_path.unlink(missing_ok=True)
        labels_path.unlink(missing_ok=True)
        return False
    recipe = get_recipe(dataset)
    made_from = {
        **{name: options[name] for name in ("crop", "copies", "seed")},
        "faces": len(landmarks),
        "landmarks": hashlib.sha256(landmarks.tobytes()).hexdigest(),
        "augmentation": dataclasses.asdict(recipe.augmentation),
    }
    text = json.dumps(made_from, indent=1) + "\n"
    if labels_path.exists() and _holds(made_from_path, text):
        return False
    labels = normalised_labels(
        landmarks,
        dataset.layout.partners,
        get_crop(crop),
        recipe.input_size,
        recipe.augmentation,
        options["copies"],
        options["seed"],
    )
    made_from_path.unlink(missing_ok=True)
    with atomic_write(labels_path) as temporary:
        np.save(temporary, labels, allow_pickle=False)
    write_text(made_from_path, text)
    return True


def _write_index(folder: Path, index: dict) -> bool:
    """Write the truth files and the index where they differ from the existing ones; return whether any did."""
    texts = {}
    for split in EVALUATED_SPLITS:
        names = ["image", "landmarks", "subsets"] + ["box"] * (get_dataset(index["dataset"]).normaliser == BOX)
        truth = [{name: face[name] for name in names} for face in index["faces"] if face["split"] == split]
        if truth:
            texts[folder / truth_file(split)] = json.dumps(truth) + "\n"
    texts[folder / INDEX_FILE] = json.dumps(index) + "\n"  # renamed last: it makes the others valid
    changed = {path: text for path, text in texts.items() if not _holds(path, text)}
    write_texts(changed)
    for split in EVALUATED_SPLITS:
        if folder / truth_file(split) not in texts:
            (folder / truth_file(split)).unlink(missing_ok=True)
    return bool(changed)


def _holds(path: Path, text: str) -> bool:
    """Return whether a file holds exactly this text."""
    return path.exists() and path.read_text(encoding="utf-8") == text


def _remove_superseded(folder: Path, annotations: list[Annotation], entries: list[dict]) -> None:
    """Delete stored faces whose source or annotation has changed since; the new index no longer names them.

    Faces of parts that were not read this time stay, so that --extra-parts need not store them again.
    """
    current = {entry["key"] for entry in entries}
    images = {(face.part.name, face.image) for face in annotations}
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
    """Print found and official counts of every part, the splits, and the skipped faces with reasons."""
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
        print(f"{sum(outside)} landmarks of {len(outside)} faces lie outside their images, which is normal")
    test_parts = {part.name for part in dataset.parts if part.split != "train"}
    training = [face for face in index["skipped"] if face["part"] not in test_parts]
    for face in training[:REASONS_SHOWN]:
        print(f"skipped {face['file']}: {face['reason']}")
    if len(training) > REASONS_SHOWN:
        print(f"... and {len(training) - REASONS_SHOWN} more; see index.json")
    for face in index["skipped"]:
        if face["part"] in test_parts:
            print(f"PROBLEM: a TEST face will be missing. {face['file']}: {face['reason']}", file=sys.stderr)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(description="Prepare a data set for training and evaluation.")
    add = parser.add_argument
    add("--dataset", required=True, help=f"data set, one of {TITLES}")
    add("--raw", metavar="DIR", help="folder of the unpacked data set; not needed for synthetic")
    add("--out", "--data-dir", dest="data_dir", metavar="DIR", default=DATA_DIR, help="data root; default: %(default)s")
    add(
        "--augmented-copies",
        type=int,
        metavar="K",
        default=AUGMENTED_COPIES,
        help="augmented copies of each training face in the normalised labels; default: %(default)s",
    )
    add(
        "--crop",
        default=DEFAULT_CROP,
        choices=sorted(CROPS),
        help="crop of the normalised labels; default: %(default)s",
    )
    add("--seed", type=int, default=SEED, help="random seed of the augmented copies; default: %(default)s")
    add("--extra-parts", action="store_true", help="extra training parts, too (300W: helen_recovered)")
    add("--faces", type=int, metavar="N", help="number of rendered training faces (synthetic); default: the set's own")
    add("--size", type=int, metavar="N", help="side of rendered pictures in pixels (synthetic); default: the set's own")
    add(
        "--records",
        type=int,
        nargs="?",
        const=0,
        metavar="N",
        help="records of the training faces, too, for streaming; N renders as many for them (synthetic)",
    )
    add("--workers", type=int, metavar="N", help="number of processes; default: one for each core")
    options = vars(parser.parse_args(arguments))

    def work() -> None:
        try:
            prepare(options.pop("dataset"), options.pop("raw"), **options)
        except BrokenProcessPool as error:
            raise RuntimeError("a worker process died; memory may be too small. Try --workers 1") from error

    interrupted = "interrupted. Finished faces are kept; the same command resumes from there"
    return cli.run(work, "data_helper.py", interrupted)


if __name__ == "__main__":
    sys.exit(main())
