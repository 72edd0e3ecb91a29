"""AFLW: its reader on tiny files of the form of AFLWinfo_release.mat, from raw files to metrics."""

import dataclasses
import json

import numpy as np
import pytest
from annotation_files import aflw_variables, write_aflw, write_picture

import data_helper
import metrics
from face_datasets.catalogue import DATASETS, get_dataset
from face_datasets.face_dataset import load_faces
from face_datasets.readers import Annotation, SkippedFace, find_parts, read_face, read_part

AFLW = get_dataset("AFLW")
TRAIN, TEST = AFLW.parts
FACES = 14  # of the tiny file, 9 of them for training
NAMES = [f"{number % 3}/image{number:05d}.jpg" for number in range(FACES)]
ORDER = np.array([3, 1, 2, 14, 13, 5, 6, 8, 9, 4, 7, 10, 11, 12])  # ra, counted from 1


@pytest.fixture
def tiny_counts(monkeypatch):
    """AFLW with 9 training faces and 5 test faces."""
    parts = dataclasses.replace(TRAIN, count=9, validation=2), dataclasses.replace(TEST, count=5)
    small = dataclasses.replace(AFLW, parts=parts)
    monkeypatch.setitem(DATASETS, AFLW.name, small)
    return small


def contents(rng):
    """The variables of the file, and the landmarks (faces, 19, 2) in them."""
    landmarks = rng.uniform(20, 80, (FACES, 19, 2))
    visible = np.ones((FACES, 19), bool)
    visible[4 - 1, 0] = False  # of a test face, by ORDER
    boxes = np.tile([10.0, 90.0, 20.0, 70.0], (FACES, 1))
    return aflw_variables(NAMES, landmarks, boxes, visible, ORDER), landmarks


def write_set(root, variables, folder="data/flickr"):
    write_aflw(root / "AFLWinfo_release.mat", variables)
    for name in NAMES:
        write_picture(root / folder / name, np.full((100, 110, 3), 99, np.uint8))


def faces_of(dataset, root):
    return [list(read_part(dataset, part, root)) for part in dataset.parts]


@pytest.mark.parametrize("folder", ["data/flickr", "images"])
def test_every_column_finds_its_place(tiny_counts, tmp_path, folder):
    variables, landmarks = contents(np.random.default_rng(0))
    write_set(tmp_path, variables, folder)
    train, test = faces_of(tiny_counts, tmp_path)
    assert [face.image for face in train] == [f"{folder}/{NAMES[row]}" for row in sorted(ORDER[:9] - 1)]
    assert [face.image for face in test] == [f"{folder}/{NAMES[row]}" for row in sorted(ORDER[9:] - 1)]
    face = test[0]  # row 4
    np.testing.assert_allclose(face.landmarks, landmarks[3])
    assert face.box == (10, 20, 90, 70)
    assert face.occluded == (1,) + (0,) * 18
    assert face.subsets == ("full",) and test[1].subsets == ("full", "frontal") and train[0].subsets == ()
    assert read_face(face)[0].shape == (100, 110, 3)


def test_official_split_and_counts():
    assert (TRAIN.count, TEST.count) == (20_000, 4386)
    assert AFLW.subsets == {"test": {"full": 4386, "frontal": 1314}}
    assert TRAIN.name != TEST.name and TRAIN.path == TEST.path


def test_a_second_face_of_a_picture_has_a_name_of_its_own(tiny_counts, tmp_path):
    variables, _ = contents(np.random.default_rng(0))
    variables["nameList"][9, 0] = NAMES[3]  # rows 4 and 10, both of the test
    variables["nameList"][0, 0] = NAMES[3]  # row 1, of training, before them
    write_set(tmp_path, variables)
    train, test = faces_of(tiny_counts, tmp_path)
    assert train[0].image == f"data/flickr/{NAMES[3]}"
    assert [face.image for face in test if "#" in face.image] == [f"data/flickr/{NAMES[3]}#{k}" for k in (2, 3)]
    assert train[0].photo_id == test[0].photo_id


def test_unusable_faces_are_named(tiny_counts, tmp_path):
    variables, _ = contents(np.random.default_rng(0))
    variables["nameList"][0, 0] = "../../etc/passwd"
    variables["nameList"][1, 0] = "0/gone.jpg"
    write_set(tmp_path, variables)
    bad = [face for face in faces_of(tiny_counts, tmp_path)[0] if isinstance(face, SkippedFace)]
    assert ["row 1" in bad[0].file, "row 2" in bad[1].file] == [True] * 2
    assert "lies outside" in bad[0].reason and "no picture" in bad[1].reason


def without(key):
    return lambda variables: variables.pop(key)


def with_value(key, value):
    return lambda variables: variables.update({key: value})


@pytest.mark.parametrize(
    "change, message",
    [
        (without("mask_new"), "another layout. Received .*AFLW has nameList"),
        (with_value("data", np.zeros((FACES, 42))), rf"data is .*\({FACES}, 42\). Expected .*\({FACES}, 38\)"),
        (with_value("bbox", np.zeros((3, 4))), r"bbox .*\(3, 4\)"),
        (with_value("bbox", np.full((FACES, 4), "x")), "bbox"),
        (with_value("ra", np.zeros((1, FACES))), f"ra must hold every number from 1 to {FACES}"),
    ],
)
def test_files_of_another_layout(tiny_counts, tmp_path, change, message):
    variables, _ = contents(np.random.default_rng(0))
    change(variables)
    write_set(tmp_path, variables)
    with pytest.raises(ValueError, match=message):
        faces_of(tiny_counts, tmp_path)


def test_a_damaged_file_and_absent_pictures(tmp_path):
    (tmp_path / "AFLWinfo_release.mat").write_bytes(b"MATLAB 5.0 cut short")
    with pytest.raises(FileNotFoundError, match="Looked for the folders data/flickr"):
        faces_of(AFLW, tmp_path)
    (tmp_path / "images").mkdir()
    with pytest.raises(ValueError, match="AFLWinfo_release.mat: .*MATLAB v5"):
        faces_of(AFLW, tmp_path)
    with pytest.raises(FileNotFoundError, match="The folder is empty; looked for: AFLWinfo_release.mat$"):
        find_parts(AFLW, tmp_path / "images")


def test_a_face_without_numbers_costs_no_other(tiny_counts, tmp_path):
    """A face with NaN in its landmarks or box is skipped with a reason, and the index stays valid."""
    variables, _ = contents(np.random.default_rng(0))
    variables["data"][2, 5] = np.inf  # row 3, of training; rows 4 and 10 are of the test
    variables["bbox"][3, 0] = variables["bbox"][9] = np.nan
    write_set(tmp_path / "raw", variables)
    index = data_helper.prepare("AFLW", tmp_path / "raw", tmp_path / "data", workers=1)
    reasons = {face["file"].rsplit("/")[-1]: face["reason"] for face in index["skipped"]}
    assert {name: reason.split(";")[0] for name, reason in reasons.items()} == {
        "image00002.jpg": "1 numbers of its landmarks are NaN or infinite",
        "image00003.jpg": "1 numbers of its box are NaN or infinite",
        "image00009.jpg": "4 numbers of its box are NaN or infinite",
    }
    faces = load_faces(tmp_path / "data", "AFLW", "test")
    assert len(faces) == 3 and np.isfinite(faces.normaliser_distance()).all()


def test_from_raw_files_to_figures(tiny_counts, tmp_path, capsys):
    """The truth file carries the boxes, and the first figure is normalised by them: 1 px of sqrt(80 x 50)."""
    variables, landmarks = contents(np.random.default_rng(0))
    write_set(tmp_path / "raw", variables)
    index = data_helper.prepare("AFLW", tmp_path / "raw", tmp_path / "data", workers=1)
    printed = capsys.readouterr().out
    assert "AFLWinfo_release.mat:train" in printed and "frontal" not in printed
    splits = [face["split"] for face in index["faces"]]
    assert (splits.count("train"), splits.count("validation"), splits.count("test")) == (8, 1, 5)
    assert all(isinstance(face, Annotation) for part in faces_of(tiny_counts, tmp_path / "raw") for face in part)

    truth = json.loads((tmp_path / "data/aflw/truth_test.json").read_text())
    for entry in truth:
        entry["landmarks"] = [[x + 1, y] for x, y in entry["landmarks"]]
    (tmp_path / "predictions.json").write_text(json.dumps(truth))
    files = [str(tmp_path / "predictions.json"), str(tmp_path / "data/aflw/truth_test.json")]
    assert metrics.main([*files, "--dataset", "AFLW", "--out", str(tmp_path / "metrics.json")]) == 0
    figures = json.loads((tmp_path / "metrics.json").read_text())
    assert figures["normaliser"] == "box"
    assert {name: row["n"] for name, row in figures["subsets"].items()} == {"full": 5, "frontal": 4}
    assert {name: row["n_official"] for name, row in figures["subsets"].items()} == {"full": 4386, "frontal": 1314}
    assert figures["subsets"]["frontal"]["nme"] == pytest.approx(100 / np.sqrt(80 * 50))
    pupils = landmarks[:, 7] - landmarks[:, 10]
    expected = np.mean(100 / np.hypot(*pupils[sorted(ORDER[9:] - 1)].T))
    assert figures["normalisers"]["inter-pupil"]["subsets"]["full"]["nme"] == pytest.approx(expected)
    assert "fr@10" in figures["subsets"]["full"]
    np.testing.assert_allclose(load_faces(tmp_path / "data", "AFLW", "test").normaliser_distance(), np.sqrt(80 * 50))
