"""Untrusted files: every reader gets thousands of damaged files and may only raise its documented errors.

    python -m tests.robustness.fuzz                          # the full counts, every reader in a process of its own
    python -m tests.robustness.fuzz --reader pts --cases 1000 --seed 3

A case is a valid file with a few edits that Hypothesis draws: bytes changed, removed, doubled or inserted, the end cut
off, words of the format in the wrong position. It fails with any other error, after 5 s of CPU time, or above 2 GiB of
memory; Hypothesis then shrinks it. A case that hangs or ends the process stays on disk, and its file is printed.
"""

import argparse
import contextlib
import faulthandler
import functools
import json
import math
import os
import resource
import subprocess
import sys
import tempfile
import time
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import cv2
import numpy as np
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from face_datasets.catalogue import DATASETS, Part
from face_datasets.layouts import FRL_POINTS
from tests.helpers import annotation_files
from utils import sandbox, sandbox_child
from utils.processes import peak_memory

MAX_SECONDS = 5.0  # CPU time of a case
HANG_SECONDS = 60.0  # after which the process is ended
MAX_MEMORY = 2 * 2**30  # bytes of the process, and of the allocations of a case
MAX_EDITS = 6
NUMBERS = (b"-1", b"0", b"1e999", b"nan", b"9" * 20, b"\x00" * 4, b"\xff" * 4, b"\xff\xff\xff\x7f", b"\x00" * 8)


@dataclass(frozen=True)
class Reader:
    """One kind of untrusted file.

    Args:
        cases: number of cases of a full run.
        name: name of the file in its folder.
        samples: function from the folder to valid files; writes the files beside it that it needs.
        read: function from the path; may raise only `errors`.
        errors: documented errors.
        tokens: words of the format.
    """

    cases: int
    name: str
    samples: Callable[[Path], list[bytes]]
    read: Callable[[Path], object]
    errors: tuple[type[Exception], ...] = (ValueError,)
    tokens: tuple[bytes, ...] = ()


# --------------------------------------------------------------------------------------------------------------------
# Damage
# --------------------------------------------------------------------------------------------------------------------


def damaged(samples: list[bytes], tokens: tuple[bytes, ...]) -> st.SearchStrategy[bytes]:
    """Return a strategy that draws valid files with a few edits."""
    word = st.one_of(st.sampled_from(tokens + NUMBERS), st.binary(min_size=1, max_size=8))
    edit = st.tuples(st.sampled_from(sorted(EDITS)), st.floats(0, 1), st.floats(0, 1), word)
    return st.builds(_edited, st.sampled_from(samples), st.lists(edit, max_size=MAX_EDITS))


def _edited(data: bytes, edits: list[tuple[str, float, float, bytes]]) -> bytes:
    for kind, at, span, word in edits:
        start = round(at * len(data))
        data = EDITS[kind](data, start, start + round(span**4 * (len(data) - start)), word)  # mostly short spans
    return data


EDITS: dict[str, Callable[[bytes, int, int, bytes], bytes]] = {
    "over": lambda data, start, stop, word: data[:start] + word + data[start + len(word) :],
    "put in": lambda data, start, stop, word: data[:start] + word + data[start:],
    "instead": lambda data, start, stop, word: data[:start] + word + data[stop:],
    "cut out": lambda data, start, stop, word: data[:start] + data[stop:],
    "double": lambda data, start, stop, word: data[:stop] + data[start:stop] + data[stop:],
    "cut off": lambda data, start, stop, word: data[:start],
    "flip": lambda data, start, stop, word: (
        data[:start] + bytes(byte ^ word[0] for byte in data[start:stop]) + data[stop:]
    ),
}


# --------------------------------------------------------------------------------------------------------------------
# Readers
# --------------------------------------------------------------------------------------------------------------------


def _ramp(points: int) -> np.ndarray:
    """Return landmarks (points, 2) with an extent in x and y."""
    return np.stack([np.linspace(3, 40, points), np.linspace(5, 44, points) % 13 + 3], axis=1)


def _picture(suffix: str = ".jpg", side: int = 8) -> bytes:
    image = np.random.default_rng(1).integers(0, 256, (side, side, 3), np.uint8)
    return cv2.imencode(suffix, image)[1].tobytes()


def _read_part(title: str, part: Part, root: Path) -> list:
    from face_datasets.readers import read_part

    return list(read_part(DATASETS[title], part, root))


def _pts_samples(folder: Path) -> list[bytes]:
    (folder / "1_1.jpg").write_bytes(_picture())
    return [annotation_files.pts_text(_ramp(68)).encode()]


def _read_pts(path: Path) -> list:
    return _read_part("w300", Part(path.parent.name, "train", 1), path.parent.parent)


def _tem_samples(folder: Path) -> list[bytes]:
    (folder / "001_03.jpg").write_bytes(_picture())
    return [annotation_files.tem_text(_ramp(FRL_POINTS), end="2\n0 0\n3\n0 1 2\n0\n").encode()]


def _read_tem(path: Path) -> list:
    return _read_part("frl", Part(path.name, "test", 1), path.parent)


def _list_samples(folder: Path) -> list[bytes]:
    (folder / "WFLW_images").mkdir(exist_ok=True)
    (folder / "WFLW_images/a.jpg").write_bytes(_picture())
    line = annotation_files.wflw_line(_ramp(98).round(2), (0, 1, 0, 0, 1, 0), "a.jpg")
    return [f"{line}\n{line}\n".encode()]


def _read_list(path: Path) -> list:
    return _read_part("wflw", Part(path.name, "test", 1), path.parent)


def _npy_samples(folder: Path) -> list[bytes]:
    return [_bytes_of(folder, lambda path: np.save(path, np.stack([_ramp(68).ravel() / 50] * 2).astype(np.float32)))]


def _bytes_of(folder: Path, write: Callable[[Path], object], name: str = "sample.npy") -> bytes:
    """Return the bytes that `write(path)` writes."""
    path = folder / name
    write(path)
    data = path.read_bytes()
    path.unlink()
    return data


def _read_labels(path: Path) -> np.ndarray:
    from pca_utility import load_labels

    return load_labels(path, DATASETS["w300"])


def _npz_samples(folder: Path) -> list[bytes]:
    from pca_utility import ShapeModel

    shapes = np.random.default_rng(1).random((6, 136))
    return [_bytes_of(folder, ShapeModel(90).fit(shapes).save, "sample.npz")]


def _read_npz(path: Path) -> object:
    from pca_utility import ShapeModel

    return ShapeModel.load(path)


JSON_TOKENS = (b"{", b"}", b"[", b"]", b'"', b":", b",", b"null", b"true", b"NaN", b"1e999", b"[" * 2000, b'"image"')
JSON_TOKENS += (b'"landmarks"', b'"../../x"', b"-Infinity", b"\\u0000", b'"\\ud800"', b"{}", b"[]", b'""')


def _index_samples(folder: Path) -> list[bytes]:
    (folder / "w300/faces").mkdir(parents=True, exist_ok=True)
    (folder / "w300/faces/1.jpg").write_bytes(_picture())
    face = {"image": "a/1.jpg", "part": "ibug", "file": "faces/1.jpg", "subsets": ["full"], "split": "test"}
    face |= {"landmarks": _ramp(68).round(2).tolist(), "matrix": [[1, 0, 0], [0, 1, 0]], "box": None, "photo": "1"}
    index = {"dataset": "300W", "version": 1, "options": {}, "missing": [], "skipped": [], "faces": [face]}
    return [json.dumps(index).encode()]


def _read_index(path: Path) -> object:
    from face_datasets.face_dataset import load_faces

    return load_faces(path.parents[1], "300W", "test", 8)


def _entries_samples(folder: Path) -> list[bytes]:
    face = {"image": "1.jpg", "landmarks": _ramp(68).round(2).tolist(), "subsets": ["full"], "box": [0, 0, 9, 9]}
    return [json.dumps([face, {**face, "image": "2.jpg"}]).encode()]


def _read_entries(path: Path) -> object:
    from face_datasets.landmark_files import read_entries

    return read_entries(path, 68)


def _settings_samples(folder: Path) -> list[bytes]:
    return [json.dumps({"settings": {"method": "acr", "crop": "square", "dataset": "300W"}, "faces": {}}).encode()]


def _read_settings(path: Path) -> object:
    from networks.weights import parse_settings
    from training.run_record import read_record

    with contextlib.suppress(ValueError):
        read_record(path)
    return parse_settings(path.read_bytes(), path)


def _snapshots_samples(folder: Path) -> list[bytes]:
    face = _ramp(68).round(2).tolist()
    return [json.dumps({"image": "1.jpg", "landmarks": face, "epochs": {"0": face, "1": face}}).encode()]


def _read_snapshots(path: Path) -> object:
    from training.callbacks import read_snapshots

    return read_snapshots(path)


def _cofw_samples(folder: Path) -> list[bytes]:
    images = [np.random.default_rng(1).integers(0, 256, (5, 6, 3), np.uint8)] * 2
    faces = [_ramp(29)] * 2, [np.zeros(29)] * 2, [(1, 2, 30, 40)] * 2
    return [_bytes_of(folder, lambda path: annotation_files.write_cofw(path, images, *faces), "sample.mat")]


def _read_cofw(path: Path) -> None:
    from face_datasets.readers import Annotation, read_face

    for face in _read_part("cofw", Part(path.name, "test", 1), path.parent):
        if isinstance(face, Annotation):
            with contextlib.suppress(ValueError, OSError):  # documented, and the next face goes on
                read_face(face)


def _aflw_samples(folder: Path) -> list[bytes]:
    (folder / "images/0").mkdir(parents=True, exist_ok=True)
    (folder / "images/0/a.jpg").write_bytes(_picture())
    landmarks, visible = np.stack([_ramp(19)] * 2), np.ones((2, 19), bool)
    variables = annotation_files.aflw_variables(["0/a.jpg"] * 2, landmarks, np.ones((2, 4)), visible, [1, 2])
    writers = (
        functools.partial(annotation_files.write_aflw, variables=variables, compressed=compressed)
        for compressed in (False, True)
    )
    return [_bytes_of(folder, write, "sample.mat") for write in writers]


def _read_aflw(path: Path) -> list:
    return _read_part("aflw", Part(path.name, "train", 1), path.parent)


def _cofw68_samples(folder: Path) -> list[bytes]:
    write = functools.partial(annotation_files.write_points_mat, landmarks=_ramp(68), occluded=np.zeros(68))
    return [_bytes_of(folder, write, "sample.mat")]


def _read_cofw68(path: Path) -> object:
    from face_datasets.readers.cofw import cofw68_points
    from face_datasets.readers.matlab import load_mat

    return cofw68_points(load_mat(path), 68)


def _network():
    import keras

    image = keras.Input((8, 8, 3), name="input_1")
    x = keras.layers.Conv2D(2, 3, strides=2, use_bias=False, name="conv")(image)
    x = keras.layers.BatchNormalization(name="bn")(x)
    x = keras.layers.ReLU(6.0, name="relu")(x)
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(image, keras.layers.Dense(4, name="dense")(x))


def _keras_samples(folder: Path) -> list[bytes]:
    """Return the archive as Keras writes it, and without compression, so that edits reach its members."""
    packed = _bytes_of(folder, _network().save, "sample.keras")

    def unpack(path: Path) -> None:
        (folder / "packed.zip").write_bytes(packed)
        with zipfile.ZipFile(folder / "packed.zip") as source, zipfile.ZipFile(path, "w") as target:
            for name in source.namelist():
                target.writestr(name, source.read(name))

    return [packed, _bytes_of(folder, unpack, "sample.keras")]


def _h5_samples(folder: Path) -> list[bytes]:
    """Return a network in the format of Keras 2."""
    import h5py

    def write(path: Path) -> None:
        model = _network()
        nodes, before = [], None
        for layer in model.layers:
            config = {key: value for key, value in layer.get_config().items() if not isinstance(value, dict)}
            if before is None:
                config["batch_input_shape"] = config.pop("batch_shape")
            calls = [[[before, 0, 0, {}]]] if before else []
            nodes.append({"class_name": type(layer).__name__, "config": config, "inbound_nodes": calls})
            before = layer.name
        config = {"layers": nodes, "input_layers": [["input_1", 0, 0]], "output_layers": [["dense", 0, 0]]}
        with h5py.File(path, "w") as file:
            file.attrs["model_config"] = json.dumps({"class_name": "Functional", "config": config})
            for layer in model.layers:
                group = file.create_group(f"model_weights/{layer.name}")
                names = [f"{layer.name}/{number}:0" for number in range(len(layer.weights))]
                group.attrs["weight_names"] = [name.encode() for name in names]
                for name, array in zip(names, layer.get_weights(), strict=True):
                    group[name] = array

    return [_bytes_of(folder, write, "sample.h5")]


def _load_model(path: Path) -> object:
    from networks.weights import load_model

    return load_model(path)


def _image_samples(folder: Path) -> list[bytes]:
    return [_picture(suffix, 16) for suffix in (".jpg", ".png", ".bmp", ".webp", ".tif")]


def _read_image(path: Path) -> None:
    from utils.image_files import read_image, read_untrusted_image

    for read in (read_image, read_untrusted_image):
        with contextlib.suppress(ValueError):
            read(path)


READERS = {
    "pts": Reader(
        100_000, "afw/1_1.pts", _pts_samples, _read_pts, (), (b"{", b"}", b"n_points:", b"version: 1", b"\xef\xbb\xbf")
    ),
    "tem": Reader(100_000, "001_03.tem", _tem_samples, _read_tem, (), (b"189", b" ", b"\n", b"\r", b"\xef\xbb\xbf")),
    "list": Reader(
        100_000,
        "list.txt",
        _list_samples,
        _read_list,
        (),
        (b" ", b"\n", b"a.jpg", b"../a.jpg", b"/etc", b"\x00"),
    ),
    "npy": Reader(
        100_000, "labels.npy", _npy_samples, _read_labels, tokens=(b"'|O'", b"'<f8'", b"(", b"None", b"True", b"1" * 9)
    ),
    "index.json": Reader(40_000, "w300/index.json", _index_samples, _read_index, tokens=JSON_TOKENS),
    "predictions.json": Reader(20_000, "predictions.json", _entries_samples, _read_entries, tokens=JSON_TOKENS),
    "settings.json": Reader(20_000, "settings.json", _settings_samples, _read_settings, tokens=JSON_TOKENS),
    "snapshots.json": Reader(20_000, "snapshots.json", _snapshots_samples, _read_snapshots, tokens=JSON_TOKENS),
    "npz": Reader(5_000, "basis.npz", _npz_samples, _read_npz),
    "mat (COFW)": Reader(5_000, "COFW_test_color.mat", _cofw_samples, _read_cofw),
    "mat (COFW-68)": Reader(5_000, "1_points.mat", _cofw68_samples, _read_cofw68),
    "mat (AFLW)": Reader(5_000, "AFLWinfo_release.mat", _aflw_samples, _read_aflw),
    "h5": Reader(5_000, "network.h5", _h5_samples, _load_model),
    "keras": Reader(5_000, "network.keras", _keras_samples, _load_model),
    "image": Reader(5_000, "face.jpg", _image_samples, _read_image),
}


# --------------------------------------------------------------------------------------------------------------------
# Running
# --------------------------------------------------------------------------------------------------------------------


def fuzz(name: str, cases: int, folder: Path, number: int | None = None) -> dict:
    """Give damaged files to a reader.

    Args:
        name: key of READERS.
        cases: number of files.
        folder: empty folder for the files.
        number: seed of Hypothesis; default: None, for the same cases each time.

    Returns:
        "cases", "read" (accepted), "refused" (with a documented error), "slowest" in seconds.

    Raises:
        Exception: an error of the reader that is not documented, for the smallest file that Hypothesis found.
    """
    reader = READERS[name]
    path = folder / reader.name
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = reader.samples(path.parent if name != "index.json" else folder)
    for sample in samples:  # valid files are read
        path.write_bytes(sample)
        reader.read(path)
    count, slowest = Counter(), 0.0

    def case(data: bytes) -> None:
        nonlocal slowest
        path.write_bytes(data)
        faulthandler.dump_traceback_later(HANG_SECONDS, exit=True)
        started = time.process_time()
        try:
            reader.read(path)
            count["read"] += 1
        except reader.errors:
            count["refused"] += 1
        finally:
            faulthandler.cancel_dump_traceback_later()
        seconds = time.process_time() - started  # CPU time, whatever else the machine does
        slowest = max(slowest, seconds)
        if seconds > MAX_SECONDS:
            raise TimeoutError(f"{name} took {seconds:.1f} s")

    test = given(damaged(samples, reader.tokens))(case)
    if number is not None:
        test = seed(number)(test)
    test = settings(
        max_examples=cases,
        deadline=None,
        derandomize=number is None,
        database=None,
        phases=(Phase.explicit, Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )(test)
    with mock.patch.object(sandbox, "find_damaged", _find_damaged):
        test()
    return {"cases": count.total(), "read": count["read"], "refused": count["refused"], "slowest": slowest}


def _find_damaged(kind: str, paths: list[Path], member: str | None = None) -> dict[Path, str]:
    """Do what sandbox.find_damaged does, for one file, in a fork of this process: much faster than a new Python."""
    source, target = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            _limit_memory()
            resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(time.process_time() + sandbox.MIN_SECONDS), -1))
            sandbox_child.READERS[kind](str(paths[0]), member)
        except BaseException as error:
            os.write(target, f"{type(error).__name__}: {error}".encode()[:1000])
        finally:
            os._exit(0)
    os.close(target)
    with open(source, "rb") as stream:
        reason = stream.read().decode(errors="replace")
    _, status = os.waitpid(child, 0)
    return {paths[0]: reason or "crashes"} if reason or status else {}


def _limit_memory() -> None:
    """Let allocations of more than 2 GiB raise MemoryError, which no reader documents."""
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (taken + MAX_MEMORY, resource.RLIM_INFINITY))


def _alone(name: str, cases: int, number: int) -> None:
    """Run one reader in this process and print its row."""
    folder = Path(tempfile.mkdtemp(prefix="fuzz_"))
    print(f"{name}: {folder / READERS[name].name}", file=sys.stderr, flush=True)
    _limit_after(name, folder)
    row = fuzz(name, cases, folder, number)
    peak = peak_memory()
    if peak * 2**20 > MAX_MEMORY:
        raise MemoryError(f"{name} took {peak:.0f} MiB")
    print(
        f"| {name} | {row['cases']:,} | {row['read']:,} | {row['refused']:,} | {row['slowest']:.2f} | {peak:.0f} |",
        flush=True,
    )


def _limit_after(name: str, folder: Path) -> None:
    """Limit the memory after the libraries of the reader are loaded, which reserve far more than they use."""
    fuzz(name, 2, folder)
    _limit_memory()


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    parser = argparse.ArgumentParser(description="Give damaged files to every reader.")
    parser.add_argument("--reader", choices=sorted(READERS), help="only this reader, in this process; default: all")
    parser.add_argument("--cases", type=int, help="number of cases; default: the reader's full number")
    parser.add_argument("--seed", type=int, default=1, help="random seed of the cases; default: %(default)s")
    options = parser.parse_args(arguments)
    if options.reader:
        faulthandler.enable()
        warnings.simplefilter("ignore")
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
        _alone(options.reader, options.cases or READERS[options.reader].cases, options.seed)
        return 0
    print("| reader | cases | read | refused | slowest, s | peak memory, MiB |\n| --- | --- | --- | --- | --- | --- |")
    failed = 0
    for name in READERS:
        command = [sys.executable, "-m", "tests.robustness.fuzz", "--reader", name, "--seed", str(options.seed)]
        command += ["--cases", str(options.cases)] if options.cases else []
        failed |= subprocess.run(command).returncode
    return int(failed != 0)


if __name__ == "__main__":
    sys.exit(main())
