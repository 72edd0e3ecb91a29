"""Damaged files: what fuzzing found, and some of its cases in every run of the tests."""

import base64
import json
import lzma
import os
import zlib

import numpy as np
import pytest
from annotation_files import ramp, wflw_line, write_wflw

from face_datasets.catalogue import get_dataset
from face_datasets.face_dataset import read_index
from face_datasets.readers import SkippedFace, read_part
from face_datasets.stored_faces import read_journal
from pca_utility import load_labels
from tests.robustness.fuzz import READERS, fuzz
from training.callbacks import read_snapshots
from training.run_record import read_record
from utils import sandbox
from utils.image_files import read_image
from utils.sandbox import check_mat

pytestmark = pytest.mark.integration

W300, WFLW = get_dataset("300W"), get_dataset("WFLW")
CASES = 60


@pytest.mark.parametrize("name", READERS)
def test_damaged_files_bring_only_the_documented_errors(name, tmp_path):
    result = fuzz(name, CASES, tmp_path)
    assert result["cases"] >= CASES and result["slowest"] < 5


@pytest.mark.slow
@pytest.mark.parametrize("name", READERS)
def test_many_damaged_files_bring_only_the_documented_errors(name, tmp_path):
    fuzz(name, READERS[name].cases // 50, tmp_path, number=2)


def test_a_list_that_names_no_possible_file(tmp_path):
    write_wflw(tmp_path, [wflw_line(ramp(98), (0,) * 6, name) for name in ("a" * 5000 + ".jpg", "a\0b.jpg")])
    faces = list(read_part(WFLW, WFLW.parts[1], tmp_path))
    assert len(faces) == 2 and all(isinstance(face, SkippedFace) and "no picture" in face.reason for face in faces)


@pytest.mark.parametrize(
    "header",
    [
        b"\x93NUMPY\x01\x00v\x00{'descr': '<f4', 'fortran_order': False, 'shape': (2, 136), }     ;>6\xbd(",
        b"\x93NUMPY\x01\x00\x50\x00{'descr': '<f4', 'fortran_order': False, 'shape': (2, 9999999999999), }".ljust(89)
        + b"\n",
        b"\x93NUMPY\x01\x00\x76\x00{'descr': '|O', 'fortran_order': False, 'shape': (2, 136), }".ljust(128),
        b"\x93NUMPY\x03\x00\xff\xff\xff\x7f{",
    ],
)
def test_labels_with_a_broken_header(header, tmp_path):
    (tmp_path / "labels.npy").write_bytes(header)
    with pytest.raises(ValueError, match="labels.npy is not a NumPy array file"):
        load_labels(tmp_path, W300)


def test_labels_that_are_an_archive(tmp_path):
    np.savez(tmp_path / "labels.npz", a=np.zeros(136))
    (tmp_path / "labels.npz").rename(tmp_path / "labels.npy")
    with pytest.raises(ValueError, match="archive"):
        load_labels(tmp_path, W300)


DEEP = "[" * 100_000


@pytest.mark.parametrize("read", [read_snapshots, read_record, lambda path: read_index(path.parents[1], W300)])
def test_json_that_is_too_deep(read, tmp_path):
    (tmp_path / "w300").mkdir()
    (tmp_path / "w300/index.json").write_text(DEEP)
    with pytest.raises(ValueError, match="index.json"):
        read(tmp_path / "w300/index.json")


FACE = {"image": "a.jpg", "split": "test", "file": "faces/a.jpg", "subsets": [], "landmarks": ramp(68).tolist()}
FACE |= {"matrix": [[1, 0, 0], [0, 1, 0]], "box": None}


@pytest.mark.parametrize(
    "change",
    [
        {"landmarks": [[1, 2]]},
        {"landmarks": [[float("nan"), 1]] * 68},
        {"landmarks": [[1, 1]] * 68},
        {"matrix": [[1, 0], [0, 1]]},
        {"matrix": [[0, 0, 0], [0, 0, 0]]},
        {"file": "../../../etc/passwd"},
        {"file": "/etc/passwd"},
        {"file": None},
        {"split": 3},
        {"subsets": None},
        {"box": [1, 2]},
        {"image": ["a"]},
    ],
)
def test_an_index_with_a_wrong_face(change, tmp_path):
    (tmp_path / "w300").mkdir()
    index = {"dataset": "300W", "version": 1, "missing": [], "faces": [FACE, {**FACE, **change}]}
    (tmp_path / "w300/index.json").write_text(json.dumps(index))
    with pytest.raises(ValueError, match="index.json has another form. Received face 1 .*data_helper.py"):
        read_index(tmp_path, W300)


def test_a_journal_names_no_file_elsewhere(tmp_path):
    (tmp_path / "w300/faces").mkdir(parents=True)
    (tmp_path / "mine.txt").write_text("mine")
    entries = [{"key": name, "bytes": 4, "face": {"file": name}} for name in ("../mine.txt", "faces/../../mine.txt")]
    lines = [*map(json.dumps, entries), "[]", "{}", '{"face": {"file": ""}}', DEEP]
    (tmp_path / "w300/journal.jsonl").write_text("\n".join(lines))
    assert read_journal(tmp_path / "w300") == {}


def test_a_picture_that_announces_more_than_memory_holds(tmp_path):
    data = bytearray(READERS["image"].samples(tmp_path)[1])  # PNG
    data[16:24] = (30_000).to_bytes(4, "big") * 2
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    (tmp_path / "bomb.png").write_bytes(data)
    with pytest.raises(ValueError, match="bomb.png .* 100,000,000 pixels"):
        read_image(tmp_path / "bomb.png")


@pytest.fixture
def good_mat(tmp_path):
    path = tmp_path / "good.mat"
    path.write_bytes(READERS["mat (COFW-68)"].samples(tmp_path)[0])
    return path


def test_a_file_on_which_the_sandbox_hangs(tmp_path, monkeypatch):
    """HDF5 can run forever. Here reading waits for a pipe, which looks the same from outside."""
    os.mkfifo(tmp_path / "pipe.mat")
    monkeypatch.setattr(sandbox, "PATIENCE", 1)
    with pytest.raises(ValueError, match="takes too long"):
        check_mat(tmp_path / "pipe.mat")


CRASHES_SCIPY = (  # a MATLAB v5 file that fuzzing found, base64 of lzma: scipy's reader ends its process
    "/Td6WFoAAATm1rRGAgAhARYAAAB0L+Wj4AX/AVxdACaQRs5Auzcx+/MidVzEuDIm7yVz18oYc5Tf7Sn+aCUfMzVNCdkBtXBQjZJEpO/CJUwX89"
    "KIdblnLI623oqszMpiieoFutwX6HheC4zkWkLswOQYxLqJATUtt8lRDGrpNWizl+jBz442MxoDb+ZfX8HTYtshx6m7OnlOcnd1nUj0e8LqZ3cU"
    "DRlLF0SJTDY7NFKeOCcowVzYrXxw/eyrGm9Ad0yx6hocoROPPjKeziQUuBZxlfQIbBumeb6ZxKBaKNGnorJmquSBwHARGehymav3YXF6lIfWJS"
    "dqeznkbBv4vstNMOXCUHUyDAxJ0qBB/l6JE97h5EbDvKx1bZAhz5PTJLKcTCRPZatgUI5Df/vDL2lJsRhr/ZMnuMHUjE3Q/E73lhJSlBjVd/dX"
    "wLQCuQmebMKXRNhiB6GF/aHXpIhSU9PP+fVkkZtABtjrZXC3giaBzjQ7wtnhIw3OAAB2cXfkrFmArQAB+AKADAAAllMXpLHEZ/sCAAAAAARZWg"
    "=="
)


def test_a_file_that_crashes_its_library_is_damaged_and_those_around_it_are_not(tmp_path, good_mat):
    crashes, bad = tmp_path / "crashes.mat", tmp_path / "bad.mat"
    crashes.write_bytes(lzma.decompress(base64.b64decode(CRASHES_SCIPY)))
    bad.write_bytes(b"not MATLAB" * 20)
    damaged = sandbox.find_damaged("mat", [good_mat, crashes, bad, good_mat])
    assert "crashes" in damaged.pop(crashes) and "mat" in damaged.pop(bad) and not damaged


def test_a_sandbox_that_does_not_start_is_no_fault_of_the_file(good_mat, monkeypatch):
    monkeypatch.setattr(sandbox, "CHILD", good_mat)
    with pytest.raises(OSError, match="the sandbox failed"):
        check_mat(good_mat)
