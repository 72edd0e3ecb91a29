"""300W and sets of its format: a folder of pictures, each with a .pts file."""

import os
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import numpy as np

from face_datasets.catalogue import Dataset, Part
from face_datasets.readers.annotation import MATLAB_FIRST, Annotation, SkippedFace, get_subsets

PICTURES = (".jpg", ".jpeg", ".png")  # suffixes in lower case


def parse_pts(data: bytes, points: int) -> np.ndarray:
    """Return the landmarks (points, 2) of a .pts file, in its own 1-based pixels.

    Byte-order marks, any line ends, tabs, extra spaces and upper case are accepted.

    Raises:
        ValueError: the file has another form; the caller adds the file's name.
    """
    text = data.decode("utf-8-sig", errors="replace")
    header = re.search(r"n_points\s*:\s*(\d+)", text, re.IGNORECASE)
    if header is None:
        raise ValueError("no n_points header; expected 'version: 1', 'n_points: N', '{', points, '}'")
    body = re.fullmatch(r"[^{}]*\{([^{}]*)\}\s*", text)
    if body is None:
        raise ValueError(f"unbalanced braces: {text.count('{')} open, {text.count('}')} closed; expected one pair")
    try:
        values = np.array(body.group(1).split(), np.float64)
    except ValueError:
        raise ValueError("something between the braces is no number; expected x and y of each point") from None
    if int(header.group(1)) != points or len(values) != 2 * points:
        raise ValueError(f"{header.group(1)} points announced, {len(values) / 2:g} found; expected {points}")
    return values.reshape(points, 2)


def read_pts(dataset: Dataset, part: Part, root: Path) -> Iterator[Annotation | SkippedFace]:
    """Read NAME.pts beside NAME.jpg, in 1-based pixels."""
    pictures, annotations = {}, {}
    for entry in sorted(os.scandir(root / part.path), key=lambda entry: entry.name):
        stem, suffix = os.path.splitext(entry.name)
        if entry.name.startswith("."):
            continue
        if suffix.lower() == ".pts":
            annotations[stem] = entry.name
        elif suffix.lower() in PICTURES and stem in pictures:
            yield SkippedFace(
                f"{part.path}/{entry.name}", f"a second picture beside {pictures[stem]}; expected one", part
            )
        elif suffix.lower() in PICTURES:
            pictures[stem] = entry.name
    for stem in sorted(pictures.keys() | annotations.keys()):
        if stem not in annotations:
            yield SkippedFace(f"{part.path}/{pictures[stem]}", f"no annotation; expected {stem}.pts beside it", part)
        elif stem not in pictures:
            yield SkippedFace(f"{part.path}/{annotations[stem]}", f"no picture; expected {stem}.jpg or .png", part)
        else:
            yield _read_pair(dataset, part, root, pictures[stem], annotations[stem])


def _read_pair(dataset: Dataset, part: Part, root: Path, picture: str, annotation: str) -> Annotation | SkippedFace:
    """Return the face of one picture and its .pts file."""
    folder = root / part.path
    try:
        landmarks = parse_pts((folder / annotation).read_bytes(), dataset.layout.points) - MATLAB_FIRST
    except (ValueError, OSError) as error:
        return SkippedFace(f"{part.path}/{annotation}", str(error), part)
    name = f"{part.path}/{picture}"
    return Annotation(name, part, folder / picture, None, landmarks, _photo_id(name, part), get_subsets(part))


def _photo_id(name: str, part: Part) -> str:
    """Return the photograph, or the video clip, that a picture of 300W's format was cut from.

    AFW and HELEN name faces PHOTO_FACE after Flickr's number of the photograph, the same in all their folders. Other
    folders count their pictures (image_0001 is someone else in every folder), so the path is the photograph. All frames
    of a clip belong together.
    """
    stem = PurePosixPath(name).stem
    if part.clips:
        return str(PurePosixPath(name).with_name(re.sub(r"_\d+$", "", stem)))
    flickr = re.match(r"(\d+)_\d+", stem)
    return flickr.group(1) if flickr else str(PurePosixPath(name).with_suffix(""))
