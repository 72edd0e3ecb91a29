"""The formats data sets come in: one reader for each, all giving the same records.

A reader goes through one part of a data set in a fixed order and gives a `FaceRecord` for every face, or a `BadFace`
with the reason why there is none. Records are cheap: pictures stay on disk until `read_face` opens one.

Landmarks and boxes leave this file in 0-based pixels. 300W's .pts files and both COFW sets are written 1-based, as
MATLAB counts; WFLW is 0-based already, and AFLW's list is taken to be, since nothing says so.
"""

import functools
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np

import image_utility
from config import DATASETS, SYNTHETIC_SEEDS, Dataset, Part
from fragile_files import try_hdf5, try_mat
from landmark_layouts import FRL_FACE, FRL_POINTS

PICTURES = (".jpg", ".jpeg", ".png")  # what the sets' own pictures end in, in lower case
MATLAB_FIRST = 1  # MATLAB counts pixels from 1
WFLW_IMAGE_FOLDERS = ("WFLW_images", "images")
AFLW_IMAGE_FOLDERS = ("data/flickr", "flickr", "aflw/data/flickr", "images")  # as unpacked, and as others keep it
AFLW_KEYS = ("nameList", "bbox", "data", "mask_new", "ra")
WFLW_ATTRIBUTES = ("pose", "expression", "illumination", "make-up", "occlusion", "blur")  # in the list's order
HELEN_TEST_FOLDERS = ("test", "testset", "helen/testset")  # as unpacked, or as 300W keeps its faces
COFW68_FOLDERS = (  # as cloned, as unpacked from the benchmark's archive, or its inner folders alone
    "test_annotations",
    "COFW68_Data/test_annotations",
    "cofw68-benchmark/COFW68_Data/test_annotations",
    "cofw68-benchmark-master/COFW68_Data/test_annotations",
)


@dataclass(frozen=True)
class FaceRecord:
    """One annotated face, its picture not opened yet.

    image: its name below the set's root; unique within its part. part: the part of the data set it comes from.
    source: the file that holds the picture, or None for a rendered face. row: where in that file; the renderer's seed.
    size: side of a rendered picture in pixels.
    landmarks: (points, 2) in 0-based image pixels; None for a rendered face, which has them only once it is rendered.
    photo: faces with the same photo were cut from one photograph and must stay on one side of every split.
    box: the set's own (left, top, right, bottom), if it has one. occluded: 0 or 1 for every landmark, if the set says.
    """

    image: str
    part: Part
    source: Path | None
    row: int | None
    landmarks: np.ndarray | None
    photo: str
    subsets: tuple[str, ...] = ()
    box: tuple[float, ...] | None = None
    occluded: tuple[int, ...] | None = None
    size: int | None = None


@dataclass(frozen=True)
class BadFace:
    """A face, a picture or an annotation that cannot be used, and why."""

    file: str
    reason: str
    part: Part


Reader = Callable[[Dataset, Part, Path], Iterator[FaceRecord | BadFace]]


# --------------------------------------------------------------------------------------------------------------------
# Finding the parts of a set
# --------------------------------------------------------------------------------------------------------------------


def find_parts(dataset: Dataset, root: str | os.PathLike | None, extra: bool = False) -> tuple[list[Part], list[Part]]:
    """The parts of a data set that lie below `root`, and those that do not.

    Args:
        dataset: a row of config.DATASETS.
        root: the set's folder as it was unpacked; ignored for rendered faces.
        extra: also look for extra parts. An absent extra part does not count as missing.

    Raises:
        FileNotFoundError: `root` is no folder, or holds none of the parts; the message lists what was looked for.
    """
    wanted = [part for part in dataset.parts if extra or not part.extra]
    if dataset.reader == "synthetic":
        return wanted, []
    if root is None:
        raise FileNotFoundError(f"{dataset.title} is read from a folder. Received none; name it with --raw")
    root = Path(root)
    if not root.is_dir():
        raise FileNotFoundError(f"no such folder. Received {root}; the unpacked {dataset.title} would be right")
    found = [part for part in wanted if _holds(root, part)]
    if not found:
        looked_for = ", ".join(dict.fromkeys(part.path for part in wanted))
        raise FileNotFoundError(f"{root} is not {dataset.title}. {_describe(root)}; looked for: {looked_for}")
    return found, [part for part in wanted if part not in found and not part.extra]


def _holds(root: Path, part: Part) -> bool:
    """Whether a part's file, its folder with something in it, or files of its pattern lie below root."""
    path = root / part.path
    return path.is_file() or (path.is_dir() and any(path.iterdir())) or ("*" in part.path and any(root.glob(part.path)))


def _describe(root: Path) -> str:
    """What a folder holds, and which data set that looks like."""
    names = sorted(entry.name for entry in root.iterdir())
    if not names:
        return "The folder is empty"
    others = [other.title for other in DATASETS.values() if any(_holds(root, part) for part in other.parts)]
    guess = f", which looks like --dataset {' or '.join(others)}" if others else ""
    return f"Received a folder with {', '.join(names[:6])}{', ...' if len(names) > 6 else ''}{guess}"


def read_part(dataset: Dataset, part: Part, root: str | os.PathLike | None) -> Iterator[FaceRecord | BadFace]:
    """Goes through one part of a data set, always in the same order.

    Raises:
        ValueError, FileNotFoundError: a file that describes the whole part is missing or of another layout.
    """
    return READERS[dataset.reader](dataset, part, Path(root or "."))


def read_face(record: FaceRecord) -> tuple[np.ndarray, FaceRecord]:
    """Opens the picture of a record, or renders it.

    Returns:
        image, uint8 RGB of (height, width, 3), and the record; that of a rendered face is completed with its landmarks,
        test subsets and hidden landmarks.

    Raises:
        ValueError, OSError: the picture cannot be read; the message names the file.
    """
    if record.source is None:
        return _render(record)
    if record.source.suffix == ".mat":
        return _read_mat_image(record.source, record.row), record
    return image_utility.read_image(record.source), record


def _subsets(part: Part) -> tuple[str, ...]:
    """The evaluation subsets that every face of a part belongs to."""
    if part.split == "train":
        return ()
    return tuple(name for name in ("private" if part.split == "private" else "full", part.subset) if name)


def _wrong_numbers(landmarks: np.ndarray) -> str | None:
    """Why landmarks (points, 2) are no numbers to work with, or None."""
    if np.isfinite(landmarks).all():
        return None
    return f"{np.count_nonzero(~np.isfinite(landmarks))} coordinates are NaN or infinite; expected numbers"


# --------------------------------------------------------------------------------------------------------------------
# 300W: a folder of pictures, each with a .pts file
# --------------------------------------------------------------------------------------------------------------------


def parse_pts(data: bytes, points: int) -> np.ndarray:
    """Landmarks (points, 2) of a .pts file, still in its own 1-based pixels.

    Byte-order marks, any line ends, tabs, extra spaces and upper case are fine.

    Raises:
        ValueError: what is wrong with it; the caller knows the file's name.
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


def read_pts(dataset: Dataset, part: Part, root: Path) -> Iterator[FaceRecord | BadFace]:
    """300W and whatever follows it: NAME.jpg beside NAME.pts, 1-based pixels."""
    pictures, annotations = {}, {}
    for entry in sorted(os.scandir(root / part.path), key=lambda entry: entry.name):
        stem, suffix = os.path.splitext(entry.name)
        if entry.name.startswith("."):
            continue
        if suffix.lower() == ".pts":
            annotations[stem] = entry.name
        elif suffix.lower() in PICTURES and stem in pictures:
            yield BadFace(f"{part.path}/{entry.name}", f"a second picture beside {pictures[stem]}; expected one", part)
        elif suffix.lower() in PICTURES:
            pictures[stem] = entry.name
    for stem in sorted(pictures.keys() | annotations.keys()):
        if stem not in annotations:
            yield BadFace(f"{part.path}/{pictures[stem]}", f"no annotation; expected {stem}.pts beside it", part)
        elif stem not in pictures:
            yield BadFace(f"{part.path}/{annotations[stem]}", f"no picture; expected {stem}.jpg or .png", part)
        else:
            yield _pts_face(dataset, part, root, pictures[stem], annotations[stem])


def _pts_face(dataset: Dataset, part: Part, root: Path, picture: str, annotation: str) -> FaceRecord | BadFace:
    """The face of one picture and its .pts file."""
    folder = root / part.path
    try:
        landmarks = parse_pts((folder / annotation).read_bytes(), dataset.layout.points) - MATLAB_FIRST
        problem = _wrong_numbers(landmarks)
    except (ValueError, OSError) as error:
        problem = str(error)
    if problem:
        return BadFace(f"{part.path}/{annotation}", problem, part)
    name = f"{part.path}/{picture}"
    return FaceRecord(name, part, folder / picture, None, landmarks, _photo(name, part), _subsets(part))


def _photo(name: str, part: Part) -> str:
    """The photograph, or the clip, that a 300W picture was annotated in.

    AFW and HELEN name faces PHOTO_FACE after Flickr's number of the photograph, in all their folders alike. Other
    folders count their pictures (image_0001 is someone else in every folder): there the whole name stands for it. A
    frame of a clip goes with all frames of the clip.
    """
    stem = PurePosixPath(name).stem
    if part.clips:
        return str(PurePosixPath(name).with_name(re.sub(r"_\d+$", "", stem)))
    flickr = re.match(r"(\d+)_\d+", stem)
    return flickr.group(1) if flickr else str(PurePosixPath(name).with_suffix(""))


# --------------------------------------------------------------------------------------------------------------------
# COFW: MATLAB v7.3 files, which are HDF5 with every axis reversed
# --------------------------------------------------------------------------------------------------------------------


def _open_mat(path: Path):
    """A MATLAB v7.3 file, open for reading; the caller closes it."""
    import h5py

    status = path.stat()
    try:
        _try_once(path, status.st_size, status.st_mtime_ns)
        return h5py.File(path, "r")
    except (OSError, ValueError) as error:
        size = f"Received {status.st_size} bytes"
        raise ValueError(f"{path} is no whole MATLAB v7.3 (HDF5) file. {size}; {error}") from error


@functools.lru_cache(maxsize=1)
def _try_once(path: Path, size: int, changed: int) -> None:
    """Tries a file of many pictures once, and not again for each of them."""
    try_hdf5(path)


def _mat_key(file, start: str) -> str:
    """The one key of a COFW file that begins so: IsTr in the training file is IsT in the test file."""
    keys = [key for key in (start + "Tr", start + "T") if hasattr(file.get(key), "shape")]  # not a group
    if not keys:
        found = ", ".join(key for key in file if not key.startswith("#")) or "nothing"
        raise ValueError(
            f"{file.filename} is of another layout. Received {found}; "
            "COFW has IsTr, phisTr, bboxesTr (training) or IsT, phisT, bboxesT (test)"
        )
    return keys[0]


def _mat_table(file, start: str, columns: int) -> np.ndarray:
    """A numeric table of a COFW file as (faces, columns)."""
    key = _mat_key(file, start)
    shape = file[key].shape
    if file[key].dtype.kind not in "fiu":
        raise ValueError(f"{file.filename}: {key} holds {file[key].dtype}. Expected numbers")
    if len(shape) != 2 or shape[0] != columns or shape[1] != file[_mat_key(file, "Is")].size:
        raise ValueError(
            f"{file.filename}: {key} has shape {shape[::-1]}. Expected ({file[_mat_key(file, 'Is')].size}, {columns})"
        )
    return np.asarray(file[key], np.float64).T


def _read_mat_image(path: Path, row: int) -> np.ndarray:
    """Picture `row` (0-based) of a COFW file as uint8 RGB (height, width, 3); grey ones get three equal channels."""
    with _open_mat(path) as file:
        references = file[_mat_key(file, "Is")]
        try:
            image = np.asarray(file[references[()].ravel()[row]]).T  # (height, width) or (height, width, 3)
        except (OSError, KeyError, ValueError, TypeError) as error:
            raise ValueError(f"{path}: picture {row + 1} cannot be read ({error})") from error
    if image.ndim == 2:
        image = np.repeat(image[..., None], 3, axis=2)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise ValueError(
            f"{path}: picture {row + 1} is {image.dtype} of shape {image.shape}. Expected uint8 (height, width, 3)"
        )
    return np.ascontiguousarray(image)


def _corners(boxes: np.ndarray) -> list[tuple[float, ...]]:
    """MATLAB's (x, y, width, height) of (faces, 4) as 0-based (left, top, right, bottom)."""
    left, top, width, height = np.asarray(boxes, np.float64).T
    left, top = left - MATLAB_FIRST, top - MATLAB_FIRST
    return [tuple(box) for box in np.stack([left, top, left + width, top + height], axis=1).tolist()]


def read_cofw(dataset: Dataset, part: Part, root: Path) -> Iterator[FaceRecord | BadFace]:
    """COFW: object references to the pictures, and a row of 29 x, 29 y, 29 occlusion flags for each face."""
    points, path = dataset.layout.points, root / part.path
    with _open_mat(path) as file:
        table = _mat_table(file, "phis", 3 * points)  # (faces, 3 * points)
        boxes = _corners(_mat_table(file, "bboxes", 4))
    for row, (numbers, box) in enumerate(zip(table, boxes, strict=True)):
        x, y, occluded = numbers.reshape(3, points)
        yield _mat_face(part, path, row, np.stack([x, y], axis=1), occluded, box)


def _mat_face(part: Part, path: Path, row: int, landmarks: np.ndarray, occluded, box) -> FaceRecord | BadFace:
    """The face of one row; its name is the .mat file's and MATLAB's number of the picture."""
    name = f"{part.path}/{row + 1:04d}"
    problem = _wrong_numbers(landmarks)
    if problem:
        return BadFace(name, problem, part)
    flags = tuple(int(flag > 0) for flag in np.ravel(occluded))
    return FaceRecord(name, part, path, row, landmarks - MATLAB_FIRST, name, _subsets(part), box, flags)


def read_cofw68(dataset: Dataset, part: Part, root: Path) -> Iterator[FaceRecord | BadFace]:
    """COFW-68: COFW's test pictures with test_annotations/K_points.mat, which holds Points (68, 2) and Occ (68)."""
    folder = next((root / name for name in COFW68_FOLDERS if (root / name).is_dir()), None)
    if folder is None:
        raise FileNotFoundError(
            f"{root} holds COFW's pictures but no 68-point annotations. Looked for: {', '.join(COFW68_FOLDERS)} "
            "(github.com/golnazghiasi/cofw68-benchmark)"
        )
    path = root / part.path
    with _open_mat(path) as file:
        faces = file[_mat_key(file, "Is")].size
    boxes = _cofw68_boxes(folder.parent / "cofw68_test_bboxes.mat", faces)
    for row in range(faces):
        annotation = folder / f"{row + 1}_points.mat"
        try:
            landmarks, occluded = _cofw68_points(annotation, dataset.layout.points)
        except ValueError as error:
            yield BadFace(f"{annotation.relative_to(root)}", str(error), part)
            continue
        yield _mat_face(part, path, row, landmarks, occluded, boxes[row] if boxes else None)


def _load_old_mat(path: Path) -> dict:
    """The variables of a MATLAB v5 file."""
    from scipy.io import loadmat

    try:
        try_mat(path)
        return loadmat(path)
    except FileNotFoundError:
        raise ValueError("no such file; every test picture has one") from None
    except Exception as error:  # scipy lets whatever goes wrong in a damaged file through
        raise ValueError(f"no MATLAB v5 file ({error})") from error


def _cofw68_points(path: Path, points: int) -> tuple[np.ndarray, np.ndarray]:
    """Landmarks (points, 2), 1-based, and occlusion flags (points,) of one annotation."""
    content = _load_old_mat(path)
    if not {"Points", "Occ"} <= content.keys():
        found = ", ".join(key for key in content if not key.startswith("__")) or "nothing"
        raise ValueError(f"holds {found}; expected Points and Occ")
    landmarks, occluded = np.asarray(content["Points"], np.float64), np.ravel(content["Occ"])
    if landmarks.shape != (points, 2) or len(occluded) != points:
        raise ValueError(f"Points {landmarks.shape} and Occ ({len(occluded)},); expected ({points}, 2) and ({points},)")
    return landmarks, occluded


def _cofw68_boxes(path: Path, faces: int) -> list[tuple[float, ...]] | None:
    """The benchmark's face boxes, if the file is there."""
    if not path.is_file():
        return None
    try:
        boxes = np.asarray(_load_old_mat(path).get("bboxes"))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    if boxes.shape != (faces, 4):
        raise ValueError(f"{path}: bboxes has shape {boxes.shape}. Expected ({faces}, 4)")
    return _corners(boxes)


# --------------------------------------------------------------------------------------------------------------------
# WFLW: one line of text for each face
# --------------------------------------------------------------------------------------------------------------------


def _picture_folder(root: Path, names: tuple[str, ...]) -> str:
    """The one of these folders that lies below root."""
    folder = next((name for name in names if (root / name).is_dir()), None)
    if folder is None:
        raise FileNotFoundError(f"{root} holds no pictures. Looked for the folders {', '.join(names)}")
    return folder


def _picture_path(root: Path, folder: str, name: str) -> PurePosixPath:
    """The path below root of a picture that a list names.

    Raises:
        ValueError: it lies elsewhere, or is not there.
    """
    path = PurePosixPath(folder, name.replace("\\", "/"))
    if ".." in path.parts or not path.is_relative_to(folder):
        raise ValueError(f"the picture {name!r} lies outside {folder}; expected a path below it")
    if not os.path.isfile(root / path):  # unlike Path.is_file, False for a name that no file can have
        raise ValueError(f"no picture {path}; expected it below {folder}")
    return path


def _face_name(picture: PurePosixPath, seen: Counter) -> str:
    """The picture's name; from its second face on with #2, #3, ... `seen` counts the faces of each picture."""
    seen[picture] += 1
    return str(picture) if seen[picture] == 1 else f"{picture}#{seen[picture]}"


def read_wflw(dataset: Dataset, part: Part, root: Path) -> Iterator[FaceRecord | BadFace]:
    """WFLW: 196 coordinates, box, six attributes and the picture's name on each line, 0-based pixels.

    A picture with several faces comes several times; from the second on, #2, #3, ... is added to the face's name.
    """
    folder = _picture_folder(root, WFLW_IMAGE_FOLDERS)
    seen = Counter()
    with open(root / part.path, encoding="utf-8-sig", errors="replace") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                yield _wflw_face(dataset, part, root, folder, line, seen)
            except ValueError as error:
                yield BadFace(f"{part.path}:{number}", str(error), part)


def _wflw_face(dataset: Dataset, part: Part, root: Path, folder: str, line: str, seen: Counter) -> FaceRecord:
    """The face of one line; `seen` counts the faces of each picture."""
    coordinates = dataset.outputs
    expected = coordinates + 4 + len(WFLW_ATTRIBUTES)
    fields = line.strip().split(maxsplit=expected)
    if len(fields) != expected + 1:
        raise ValueError(
            f"{len(fields)} fields; expected {coordinates} coordinates, 4 of the box, "
            f"{len(WFLW_ATTRIBUTES)} attributes and a picture's name"
        )
    try:
        numbers = np.array(fields[:-1], np.float64)
    except ValueError:
        raise ValueError(f"a field before the picture's name is no number; expected {expected} numbers") from None
    landmarks = numbers[:coordinates].reshape(-1, 2)  # (points, 2)
    problem = _wrong_numbers(landmarks)
    if problem:
        raise ValueError(problem)
    picture = _picture_path(root, folder, fields[-1])
    image = _face_name(picture, seen)
    attributes = zip(WFLW_ATTRIBUTES, numbers[coordinates + 4 :], strict=True)
    subsets = _subsets(part)
    if subsets:
        subsets += tuple(attribute for attribute, value in attributes if value)
    box = tuple(numbers[coordinates : coordinates + 4].tolist())
    return FaceRecord(image, part, root / picture, None, landmarks, str(picture), subsets, box)


# --------------------------------------------------------------------------------------------------------------------
# AFLW: one MATLAB v5 file that annotates Flickr's pictures anew, with 19 landmarks
# --------------------------------------------------------------------------------------------------------------------


def read_aflw(dataset: Dataset, part: Part, root: Path) -> Iterator[FaceRecord | BadFace]:
    """AFLW with the annotation of Zhu et al. (CVPR 2016), AFLWinfo_release.mat. For every face it holds

    nameList: the picture's name below flickr/. data: 19 x, then 19 y, of all landmarks, visible or not. bbox: left,
    right, top, bottom. mask_new: 1 where a landmark is visible. ra: an order of the faces, counted from 1, whose first
    20,000 are the training faces. The test faces that show all landmarks are "frontal".
    """
    points, path = dataset.layout.points, root / part.path
    folder = _picture_folder(root, AFLW_IMAGE_FOLDERS)
    names, boxes, landmarks, visible, order = _aflw_tables(path, points)
    first_test = next(other.count for other in dataset.parts if other.split == "train")
    rows = set((order[:first_test] if part.split == "train" else order[first_test:]).tolist())
    seen = Counter()
    for row, name in enumerate(names):
        try:
            picture = _picture_path(root, folder, name)
            image = _face_name(picture, seen)  # counted over both parts, so that a face has one name
            problem = _wrong_numbers(landmarks[row])
            if problem:
                raise ValueError(problem)
        except ValueError as error:
            if row in rows:
                yield BadFace(f"{part.path}: {name}, row {row + 1}", str(error), part)
            continue
        if row in rows:
            subsets = _subsets(part)
            subsets += ("frontal",) if subsets and visible[row].all() else ()
            flags = tuple((~visible[row]).astype(int).tolist())
            box = tuple(boxes[row].tolist())
            yield FaceRecord(image, part, root / picture, None, landmarks[row], str(picture), subsets, box, flags)


def _aflw_tables(path: Path, points: int) -> tuple[list[str], np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Names, boxes (n, 4) as left, top, right, bottom, landmarks (n, points, 2), visible (n, points), order (n,).

    Raises:
        ValueError: the file is of another layout.
    """
    try:
        content = _load_old_mat(path)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    if not set(AFLW_KEYS) <= content.keys():
        found = ", ".join(key for key in content if not key.startswith("__")) or "nothing"
        raise ValueError(f"{path} is of another layout. Received {found}; AFLW has {', '.join(AFLW_KEYS)}")
    names = [str(np.ravel(name)[0]) if np.size(name) else "" for name in np.ravel(content["nameList"])]
    count, arrays = len(names), {}
    shapes = {"bbox": (count, 4), "data": (count, 2 * points), "mask_new": (count, points), "ra": (count,)}
    for key, shape in shapes.items():
        array = np.ravel(content[key]) if key == "ra" else np.asarray(content[key])
        if array.dtype.kind not in "fiub" or array.shape != shape:
            raise ValueError(
                f"{path}: {key} is {array.dtype} of shape {array.shape}. Expected numbers of shape {shape}"
            )
        arrays[key] = array.astype(np.float64)
    order = arrays["ra"] - MATLAB_FIRST
    if not np.array_equal(np.sort(order), np.arange(count)):
        raise ValueError(f"{path}: ra must hold every number from 1 to {count} once. Received another list")
    boxes = arrays["bbox"][:, [0, 2, 1, 3]]
    landmarks = arrays["data"].reshape(count, 2, points).transpose(0, 2, 1)
    return names, boxes, np.ascontiguousarray(landmarks), arrays["mask_new"] == 1, order.astype(int)


# --------------------------------------------------------------------------------------------------------------------
# HELEN's own annotation, and the templates of the Face Research Lab: dense points, for evaluation alone
# --------------------------------------------------------------------------------------------------------------------


def _numbers(lines: Sequence[str], count: int) -> np.ndarray:
    """`count` points (count, 2) from lines of x and y, with a comma or a space between.

    Raises:
        ValueError: another number of lines, or one that holds something else.
    """
    try:
        points = np.array([line.replace(",", " ").split() for line in lines], np.float64)
    except ValueError:
        raise ValueError("a line is not two numbers; expected x and y of each point") from None
    if points.shape != (count, 2) or not np.isfinite(points).all():
        raise ValueError(f"points of shape {points.shape}; expected {count} of x and y, finite")
    return points


def read_helen194(dataset: Dataset, part: Part, root: Path) -> Iterator[FaceRecord | BadFace]:
    """HELEN: annotation/NUMBER.txt holds a picture's name, then 194 lines "x , y". Pixels are taken to count from 0,
    since nothing says so. The test faces are those whose picture lies in one of HELEN_TEST_FOLDERS; the others are
    passed over.
    """
    folder = _picture_folder(root, HELEN_TEST_FOLDERS)
    for path in sorted((root / part.path).glob("*.txt"), key=lambda file: (len(file.stem), file.stem)):
        name, *lines = path.read_text(encoding="utf-8-sig", errors="replace").split("\n")
        picture = PurePosixPath(folder, f"{PurePosixPath(name.strip()).name}.jpg")
        if not (root / picture).is_file():
            continue
        try:
            points = _numbers([line for line in lines if line.strip()], dataset.layout.points)
        except ValueError as error:
            yield BadFace(f"{part.path}/{path.name}", str(error), part)
            continue
        yield FaceRecord(str(picture), part, root / picture, None, points, str(picture), _subsets(part))


def read_tem(dataset: Dataset, part: Part, root: Path) -> Iterator[FaceRecord | BadFace]:
    """Templates: NAME.tem beside NAME.jpg; a line with the number of points, a line "x y" for each, then the lines that
    join them, which are not needed. Pixels count from 0. Only the points of landmark_layouts.FRL_FACE are kept."""
    for path in sorted(root.glob(part.path)):
        picture = path.with_suffix(".jpg")
        try:
            if not picture.is_file():
                raise ValueError(f"no picture {picture.name} beside it")
            count, *lines = path.read_text(encoding="utf-8-sig", errors="replace").splitlines() or [""]
            if count.strip() != str(FRL_POINTS):
                raise ValueError(f"it announces {count.strip()!r} points; expected {FRL_POINTS}")
            points = _numbers(lines[:FRL_POINTS], FRL_POINTS)[list(FRL_FACE)]
        except ValueError as error:
            yield BadFace(path.name, str(error), part)
            continue
        yield FaceRecord(picture.name, part, picture, None, points, picture.name, _subsets(part))


# --------------------------------------------------------------------------------------------------------------------
# Synthetic: faces the project renders itself
# --------------------------------------------------------------------------------------------------------------------


def read_synthetic(dataset: Dataset, part: Part, root: Path) -> Iterator[FaceRecord]:
    """Rendered faces: the picture and its landmarks follow from a seed, and the parts' seeds never meet."""
    for index in range(part.count):
        yield rendered_record(dataset, part, index)


def rendered_record(dataset: Dataset, part: Part, index: int) -> FaceRecord:
    """The face of this number of a rendered part."""
    name, seed = f"{part.path}/{index:06d}", SYNTHETIC_SEEDS[part.path] + index
    return FaceRecord(name, part, None, seed, None, name, _subsets(part), size=dataset.render_size)


def _render(record: FaceRecord) -> tuple[np.ndarray, FaceRecord]:
    """The picture of a rendered face, and its record with all that is known once it is rendered."""
    from synthetic_faces import render_face

    face = render_face(record.row, record.size)
    subsets = record.subsets + (face.subsets if record.subsets else ())
    hidden = tuple((~face.visible()).astype(int).tolist())
    return face.image, replace(record, landmarks=face.landmarks(), subsets=subsets, occluded=hidden)


READERS: dict[str, Reader] = {
    "pts": read_pts,
    "cofw": read_cofw,
    "cofw68": read_cofw68,
    "wflw": read_wflw,
    "aflw": read_aflw,
    "helen194": read_helen194,
    "tem": read_tem,
    "synthetic": read_synthetic,
}
