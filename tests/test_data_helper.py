"""Preparation: the files it writes, and its answers to interruptions, changes and bad files."""

import dataclasses
import errno
import fcntl
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from annotation_files import write_face

import image_utility
from config import CROPS, ROOT, STORED_FACE
from data_helper import main, prepare
from face_datasets import stored_faces
from face_datasets.catalogue import DATASETS, VALIDATION_FRACTION, get_dataset
from face_datasets.stored_faces import store_region
from pca_utility import normalised_labels
from training.recipes import get_recipe
from utils import files, image_files
from utils.image_files import read_image

REAL = Path(os.environ.get("FACE_DATA", ROOT / "../shared/data"))
W300 = get_dataset("300W")


def face_shape(rng, width=160, height=120):
    """68 random landmarks well inside a picture."""
    return rng.uniform((30, 25), (width - 30, height - 25), (68, 2))


def write_noise(folder, stem, rng, landmarks=None):
    """A picture of noise as 300W stores a face; returns its landmarks."""
    landmarks = face_shape(rng) if landmarks is None else landmarks
    write_face(folder, stem, rng.integers(0, 256, (120, 160, 3), np.uint8), landmarks, decimals=6)
    return landmarks


@pytest.fixture
def raw(tmp_path):
    """A small 300W: 20 HELEN training faces, 3 AFW faces, 4 test faces."""
    rng = np.random.default_rng(0)
    root = tmp_path / "raw"
    for number in range(20):
        write_noise(root / "helen/trainset", f"{100 + number}_1", rng)
    for number in range(3):
        write_noise(root / "afw", f"{200 + number}_1", rng)
    for number in range(4):
        write_noise(root / "helen/testset", f"{300 + number}_1", rng)
    return root


@pytest.fixture
def out(tmp_path):
    return tmp_path / "data"


def run(raw, out, **options):
    return prepare("300W", raw, out, **{"workers": 1, "augmented_copies": 1, **options})


def get_splits(index):
    return {face["image"]: face["split"] for face in index["faces"]}


def snapshot(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file() and path.name != ".lock"}


def count_stored(monkeypatch):
    """Return a list that gets the names of all faces stored from now on."""
    names, store = [], stored_faces._store_face

    def counting(folder, dataset, annotation, key):
        names.append(annotation.image)
        return store(folder, dataset, annotation, key)

    monkeypatch.setattr(stored_faces, "_store_face", counting)
    return names


# ------------------------------------------------------------------------------------------------------ stored faces


def dots_on(shape, points, sigma):
    """A picture with a bright Gaussian dot at every point."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    image = np.zeros(shape)
    for point in points:
        image += 200 * np.exp(-((x - point[0]) ** 2 + (y - point[1]) ** 2) / (2 * sigma**2))
    return np.repeat(image[..., None], 3, axis=2).round().astype(np.uint8)


def centre_of_dot(image, point, reach):
    """Centre of brightness around a point."""
    left, top = np.round(point).astype(int) - reach
    patch = image[top : top + 2 * reach + 1, left : left + 2 * reach + 1, 0].astype(float)
    y, x = np.mgrid[: patch.shape[0], : patch.shape[1]]
    return np.array([(x * patch).sum(), (y * patch).sum()]) / patch.sum() + (left, top)


@pytest.mark.parametrize("size", [150.3, 224.0, 380.7, 961.4])  # the box's longer side: not shrunk to shrunk 4.3 times
def test_picture_and_landmarks_move_together(size):
    shrink = max(1, size / STORED_FACE.box_pixels)
    points = np.array([[0.11, 0.2], [0.83, 0.17], [0.4, 0.61], [0.0, 0.9], [1.0, 0.0]]) * size
    points += np.array([11.27, 13.61]) + 10 * shrink  # far enough from the border for complete dots
    image = dots_on((int(size + 50 * shrink), int(size + 60 * shrink)), points, sigma=2.5 * shrink)
    stored, matrix = store_region(image, points)
    for point in image_utility.transform(points, matrix):
        assert np.abs(centre_of_dot(stored, point, 9) - point).max() < 0.1


def test_stored_face_keeps_context_and_is_never_enlarged():
    image = np.zeros((600, 800, 3), np.uint8)
    for size in (12.4, 100, 400):
        landmarks = np.array([[100, 80], [100 + size, 80 + size / 2]])
        stored, matrix = store_region(image, landmarks)
        box = image_utility.landmark_box(image_utility.transform(landmarks, matrix))
        assert box[2] - box[0] <= min(size, STORED_FACE.box_pixels) + 1e-9
        assert stored.shape[0] == stored.shape[1]
        assert abs(stored.shape[0] / (box[2] - box[0]) - STORED_FACE.context) < 0.1
        assert np.abs((box[:2] + box[2:] + 1) / 2 - stored.shape[0] / 2).max() <= 0.51


def test_unshrunk_face_keeps_its_pixels_and_repeats_the_border():
    image = np.random.default_rng(1).integers(0, 256, (50, 60, 3), np.uint8)
    stored, matrix = store_region(image, np.array([[5.0, 5.0], [25.0, 20.0]]))
    assert matrix[0, 0] == 1
    left, top = -matrix[:, 2].astype(int)
    rows, columns = np.arange(top, top + len(stored)), np.arange(left, left + len(stored))
    assert rows[0] < 0 and columns[0] < 0
    np.testing.assert_array_equal(stored, image[rows.clip(0, 49)][:, columns.clip(0, 59)])


def test_shrinking_does_not_alias():
    """A checkerboard of single pixels, larger than the stored region and shrunk 4 times, is even grey."""
    image = np.repeat((np.indices((2700, 2700)).sum(axis=0) % 2 * 255).astype(np.uint8)[..., None], 3, axis=2)
    stored, _ = store_region(image, np.array([[902.3, 902.1], [1798.3, 1798.1]]))
    assert stored.std() < 8 and abs(stored.mean() - 127.5) < 2


@pytest.mark.parametrize(
    "landmarks, message",
    [
        ([[200, 10], [260, 60]], "miss the image of 60 x 50 pixels altogether"),
        ([[-90, -80], [-5, -3]], "miss the image"),
        ([[-4000, 0], [4000, 30]], "far larger than the image"),
    ],
)
def test_landmarks_that_cannot_belong_to_the_picture(landmarks, message):
    with pytest.raises(ValueError, match=message):
        store_region(np.zeros((50, 60, 3), np.uint8), np.array(landmarks, float))


# ------------------------------------------------------------------------------------------------------ what is written


def test_index_truth_and_faces(raw, out, capsys):
    index = run(raw, out)
    folder = out / "w300"
    assert json.loads((folder / "index.json").read_text()) == index
    assert index["dataset"] == "300W" and len(index["faces"]) == 27 and not index["skipped"]
    assert {"part": "ibug", "count": 135} in index["missing"]
    for face in index["faces"]:
        stored = image_files.read_image(folder / face["file"])
        landmarks, matrix = np.array(face["landmarks"]), np.array(face["matrix"])
        stored_landmarks = image_utility.transform(landmarks, matrix)
        assert (stored_landmarks >= 0).all() and (stored_landmarks <= len(stored) - 1).all()
        back = image_utility.transform(stored_landmarks, image_utility.invert(matrix))
        assert np.abs(back - landmarks).max() < 1e-3
    truth = json.loads((folder / "truth_test.json").read_text())
    assert [face["image"] for face in truth] == [f"helen/testset/{300 + number}_1.jpg" for number in range(4)]
    assert truth[0]["subsets"] == ["full", "common"]
    assert not (folder / "truth_private.json").exists()
    printed = capsys.readouterr().out
    assert "lfpw/trainset" in printed and "missing" in printed and "prepared" in printed


def test_landmarks_outside_the_picture_stay_and_are_counted(raw, out, capsys):
    landmarks = face_shape(np.random.default_rng(5))
    landmarks[:3] = [[-4, 50], [165, 50], [80, 121]]
    write_noise(raw / "afw", "900_1", np.random.default_rng(5), landmarks)
    index = run(raw, out)
    assert "afw/900_1.jpg" in get_splits(index)
    assert "3 landmarks of 1 faces lie outside" in capsys.readouterr().out


def test_validation_is_a_small_fraction_chosen_by_photo_alone(raw, out, tmp_path):
    splits = get_splits(run(raw, out))
    held_out = {image for image, split in splits.items() if split == "validation"}
    assert len(held_out) == int(VALIDATION_FRACTION * 20)
    assert all(image.startswith("helen/trainset/") for image in held_out)
    assert get_splits(run(raw, tmp_path / "other", seed=99)) == splits
    (raw / "afw/200_1.jpg").unlink()
    (raw / "afw/200_1.pts").unlink()
    assert {image for image, split in get_splits(run(raw, out)).items() if split == "validation"} == held_out


def test_one_photo_never_lies_on_two_sides(raw, out):
    splits = get_splits(run(raw, out))
    photo = Path(next(image for image, split in splits.items() if split == "validation")).stem.split("_")[0]
    rng = np.random.default_rng(6)
    for name in (f"{photo}_7", "300_8", "777_1"):  # photos of a validation face, of a test face, of nobody else
        write_noise(raw / "helen_recovered", name, rng)
    write_noise(raw / "afw", f"{photo}_8", rng)
    index = run(raw, out, extra_parts=True)
    splits = get_splits(index)
    assert splits["helen_recovered/777_1.jpg"] == "train"
    reasons = {face["file"]: face["reason"] for face in index["skipped"]}
    assert "also in the test set" in reasons["helen_recovered/300_8.jpg"]
    assert "held out for validation" in reasons[f"helen_recovered/{photo}_7.jpg"]
    assert "held out for validation" in reasons[f"afw/{photo}_8.jpg"]
    assert not any(image.startswith("helen_recovered") for image in get_splits(run(raw, out)))  # only with extra_parts


# ------------------------------------------------------------------------------------------------------ labels


def get_labels(landmarks, crop, augmented_copies, seed):
    recipe = get_recipe(W300)
    return normalised_labels(
        landmarks, W300.layout.partners, CROPS[crop], recipe.input_size, recipe.augmentation, augmented_copies, seed
    )


def test_labels_of_upright_faces_follow_the_convention():
    landmarks = np.zeros((1, 68, 2)) + (100, 60)
    landmarks[0, 0], landmarks[0, 1] = (50, 40), (150, 80)  # box 100 x 40; with 10 % and squared 120 around (100, 60)
    labels = get_labels(landmarks, "square", augmented_copies=0, seed=1)
    assert labels.shape == (1, 136) and labels.dtype == np.float32
    np.testing.assert_allclose(labels[0, :4], [50 / 120, 20 / 120, -50 / 120, -20 / 120], atol=1e-6)


def test_augmented_labels_are_the_upright_ones_rotated_and_mirrored():
    landmarks = np.random.default_rng(2).uniform(0, 100, (40, 68, 2))
    labels = get_labels(landmarks, "square", augmented_copies=2, seed=3).reshape(3, 40, 68, 2)
    partners = list(W300.layout.partners)
    mirrored = 0
    for upright, *augmented in zip(*labels, strict=True):
        for landmarks in augmented:
            residuals = []
            for source in (upright, upright[partners]):
                design = np.column_stack([source, np.ones(68)])
                solution, _, _, _ = np.linalg.lstsq(design, landmarks, rcond=None)
                residuals.append((np.abs(design @ solution - landmarks).max(), np.linalg.det(solution[:2])))
            best = int(np.argmin([residual for residual, _ in residuals]))
            assert residuals[best][0] < 1e-4  # one similarity explains all 68 landmarks
            assert (residuals[best][1] < 0) == bool(best)  # a mirror image has its landmarks renamed, no other has
            mirrored += best
    assert 20 < mirrored < 60


def test_labels_hold_training_faces_only_and_follow_their_options(raw, out):
    index = run(raw, out, augmented_copies=2)
    training = sum(face["split"] == "train" for face in index["faces"])
    folder = out / "w300" / "normalized_labels"
    assert np.load(folder / "labels.npy", allow_pickle=False).shape == (3 * training, 136)
    faces = snapshot(out / "w300" / "faces")
    run(raw, out, augmented_copies=0)
    assert np.load(folder / "labels.npy").shape == (training, 136)
    assert json.loads((folder / "made_from.json").read_text())["copies"] == 0
    run(raw, out, crop="tight")
    assert (out / "w300" / "normalized_labels_tight" / "labels.npy").exists()
    assert snapshot(out / "w300" / "faces") == faces  # no option of the labels touches a stored face


@pytest.mark.parametrize("crop", sorted(CROPS))
def test_every_crop_has_labels(raw, out, crop):
    labels = get_labels(np.random.default_rng(4).uniform(0, 100, (3, 68, 2)), crop, 1, 1)
    assert np.isfinite(labels).all() and np.abs(labels).max() < 1.5


# ------------------------------------------------------------------------------------------------------ again


def test_second_run_does_nothing(raw, out, monkeypatch, capsys):
    first = run(raw, out)
    before = snapshot(out)
    stored = count_stored(monkeypatch)
    capsys.readouterr()
    assert run(raw, out) == first
    assert not stored and snapshot(out) == before
    assert "nothing to do" in capsys.readouterr().out


def test_only_what_changed_is_done_again(raw, out, monkeypatch):
    before = {face["image"]: face["file"] for face in run(raw, out)["faces"]}
    stored = count_stored(monkeypatch)
    rng = np.random.default_rng(9)
    write_noise(raw / "afw", "200_1", rng)
    (raw / "afw/201_1.pts").write_text((raw / "afw/202_1.pts").read_text())
    write_noise(raw / "afw", "203_1", rng)
    after = {face["image"]: face["file"] for face in run(raw, out)["faces"]}
    assert stored == ["afw/200_1.jpg", "afw/201_1.jpg", "afw/203_1.jpg"]
    for image in ("afw/200_1.jpg", "afw/201_1.jpg"):
        assert after[image] != before[image] and not (out / "w300" / before[image]).exists()
    (out / "w300" / after["afw/202_1.jpg"]).write_bytes(b"cut")  # a damaged stored face
    run(raw, out)
    assert stored[3:] == ["afw/202_1.jpg"]


def test_extra_faces_come_and_go_without_being_done_again(raw, out, monkeypatch):
    write_noise(raw / "helen_recovered", "777_1", np.random.default_rng(6))
    run(raw, out, extra_parts=True)
    stored = count_stored(monkeypatch)
    assert len(run(raw, out)["faces"]) == 27
    assert len(run(raw, out, extra_parts=True)["faces"]) == 28
    assert not stored


@pytest.mark.integration
def test_interrupted_run_resumes(raw, out, monkeypatch):
    store, calls = stored_faces._store_face, []

    def interrupted(*arguments):
        calls.append(arguments[2].image)
        if len(calls) == 6:
            raise KeyboardInterrupt
        return store(*arguments)

    monkeypatch.setattr(stored_faces, "_store_face", interrupted)
    arguments = ["--dataset", "300W", "--raw", str(raw), "--out", str(out), "--workers", "1"]
    assert main(arguments) == 130
    assert not (out / "w300" / "index.json").exists()
    with open(out / "w300" / "journal.jsonl", "a") as journal:
        journal.write('{"key": "cut sho')  # what a kill leaves
    monkeypatch.setattr(stored_faces, "_store_face", store)
    stored = count_stored(monkeypatch)
    assert main(arguments) == 0
    assert len(stored) == 27 - 5 and not set(stored) & set(calls[:5])
    assert main(arguments) == 0 and len(stored) == 27 - 5


@pytest.mark.integration
def test_killed_run_resumes_and_leaves_no_lock(raw, out, monkeypatch):
    for number in range(150):
        write_noise(raw / "afw", f"{500 + number}_1", np.random.default_rng(number))
    command = [sys.executable, "data_helper.py", "--dataset", "300W", "--raw", raw, "--out", out, "--workers", "2"]
    process = subprocess.Popen(list(map(str, command)), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    journal = out / "w300" / "journal.jsonl"
    while process.poll() is None and not (journal.exists() and len(journal.read_bytes().splitlines()) > 20):
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (out / "w300" / "index.json").exists()
    finished = len(stored_faces.read_journal(out / "w300"))
    stored = count_stored(monkeypatch)
    assert len(run(raw, out)["faces"]) == 177
    assert finished >= 20 and len(stored) == 177 - finished


@pytest.mark.integration
def test_two_processes_give_what_one_gives(raw, out, tmp_path):
    assert run(raw, out, workers=2) == run(raw, tmp_path / "other", workers=1)


# ------------------------------------------------------------------------------------------------------ bad input


def test_bad_faces_are_skipped_with_their_reasons(raw, out, capsys):
    rng = np.random.default_rng(3)
    complete = (raw / "afw/200_1.jpg").read_bytes()
    (raw / "afw/200_1.jpg").write_bytes(complete[: len(complete) // 2])
    (raw / "afw/201_1.jpg").write_bytes(b"")
    landmarks = face_shape(rng)
    landmarks[45] = landmarks[36]
    write_noise(raw / "afw", "400_1", rng, landmarks)
    write_noise(raw / "afw", "401_1", rng, face_shape(rng) + 4000)
    (raw / "helen/testset/300_1.jpg").write_text("no picture")
    index = run(raw, out)
    reasons = {face["file"]: face["reason"] for face in index["skipped"]}
    assert len(index["faces"]) == 24 and len(reasons) == 5
    assert "truncated" in reasons["afw/200_1.jpg"] and "empty file" in reasons["afw/201_1.jpg"]
    assert "inter-ocular distance of face 'afw/400_1.jpg' is zero" in reasons["afw/400_1.jpg"]
    assert "miss the image" in reasons["afw/401_1.jpg"]
    printed = capsys.readouterr()
    assert "PROBLEM: a TEST face will be missing. helen/testset/300_1.jpg" in printed.err
    assert "skipped afw/400_1.jpg: the inter-ocular" in printed.out
    (raw / "afw/200_1.jpg").write_bytes(complete)
    assert len(run(raw, out)["faces"]) == 25  # what was repaired comes back


def test_no_usable_face_at_all(raw, out):
    for path in raw.rglob("*.jpg"):
        path.write_text("no picture")
    with pytest.raises(
        ValueError, match="no face of 300W in .* can be used. 27 skipped; afw/200_1.jpg: .*not a readable"
    ):
        run(raw, out)
    assert not (out / "w300" / "index.json").exists()


@pytest.mark.parametrize("fail_in", ["write_image", "replace"])
def test_full_disk_leaves_the_previous_index_valid(raw, out, monkeypatch, capsys, fail_in):
    before = run(raw, out)
    write_noise(raw / "afw", "200_1", np.random.default_rng(8))

    def full(*arguments, **options):
        raise OSError(errno.ENOSPC, "No space left on device", "somewhere")

    with monkeypatch.context() as patch:
        if fail_in == "write_image":
            patch.setattr(stored_faces, "write_image", full)
        else:
            patch.setattr(files.os, "replace", full)
        capsys.readouterr()
        assert (
            main(
                ["--dataset", "300W", "--raw", str(raw), "--out", str(out), "--workers", "1", "--augmented-copies", "1"]
            )
            == 1
        )
    assert capsys.readouterr().err.strip().splitlines() == [
        "data_helper.py: [Errno 28] No space left on device: 'somewhere'"
    ]
    folder = out / "w300"
    assert json.loads((folder / "index.json").read_text()) == before
    assert all((folder / face["file"]).exists() for face in before["faces"])
    assert run(raw, out) != before


def test_place_that_cannot_be_written(raw, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert main(["--dataset", "300W", "--raw", str(raw), "--out", str(tmp_path / "file")]) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_second_preparation_into_one_folder_is_refused(raw, out, capsys):
    run(raw, out)
    with open(out / "w300" / ".lock") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert main(["--dataset", "300W", "--raw", str(raw), "--out", str(out)]) == 1
    assert "another run is preparing" in capsys.readouterr().err
    run(raw, out)


@pytest.fixture
def few_rendered(monkeypatch):
    """The rendered data set with three test faces of 32 pixels."""
    dataset = DATASETS["synthetic"]
    parts = (dataset.parts[0], dataclasses.replace(dataset.parts[1], count=3))
    monkeypatch.setitem(DATASETS, "synthetic", dataclasses.replace(dataset, parts=parts, render_size=32))


def test_rendered_faces_are_prepared_with_all_that_is_known(few_rendered, out):
    index = prepare("synthetic", data_dir=out, faces=6, workers=1)
    faces = index["faces"]
    assert [face["split"] for face in faces].count("test") == 3 and len(faces) == 9
    assert {len(face["occluded"]) for face in faces} == {68}
    assert all(face["subsets"][0] == "full" for face in faces if face["split"] == "test")
    assert index["options"]["faces"] == 6 and index["options"]["size"] == 32
    assert read_image(out / "synthetic" / faces[0]["file"]).shape[0] > 32  # with its surroundings


def test_faces_of_another_renderer_are_made_again_and_never_mixed(few_rendered, out, monkeypatch):
    before = prepare("synthetic", data_dir=out, faces=4, workers=1)
    prepare_again = prepare("synthetic", data_dir=out, faces=4, workers=1)
    assert before == prepare_again
    monkeypatch.setattr(stored_faces, "renderer_digest", lambda: "another renderer")
    after = prepare("synthetic", data_dir=out, faces=4, workers=1)
    old, new = ({face["file"] for face in index["faces"]} for index in (before, after))
    assert not old & new
    stored = {path.relative_to(out / "synthetic").as_posix() for path in out.rglob("*.jpg")}
    assert stored == new


def test_other_sizes_are_other_faces(few_rendered, out):
    small = prepare("synthetic", data_dir=out, faces=4, workers=1)
    large = prepare("synthetic", data_dir=out, faces=4, size=48, workers=1)
    for one, other in zip(small["faces"], large["faces"], strict=True):
        assert one["file"] != other["file"]
        np.testing.assert_allclose(
            (np.array(other["landmarks"]) + 0.5) / 1.5, np.array(one["landmarks"]) + 0.5, atol=1e-5
        )


@pytest.mark.parametrize(
    "dataset, options, message",
    [
        ("synthetic", {"size": 0}, "size is too small. Received 0; expected 32"),
        ("synthetic", {"faces": 0}, "faces is too small. Received 0; expected 1"),
        ("300W", {"size": 64}, "only rendered faces can be chosen in number and size. Received {'size': 64} for 300W"),
    ],
)
def test_impossible_numbers_of_rendered_faces(dataset, options, message, out):
    with pytest.raises(ValueError, match=re.escape(message)):
        prepare(dataset, data_dir=out, **options)
    assert not any(out.rglob("*.jpg"))


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--dataset", "300w"], "unknown data set. Received '300w'; known"),
        (["--dataset", "300W"], "name it with --raw"),
        (["--dataset", "300W", "--raw", "nowhere"], "no such folder. Received nowhere"),
        (["--dataset", "300W", "--raw", ".", "--augmented-copies", "-1"], "augmented_copies=-1"),
        (["--dataset", "300W", "--raw", ".", "--workers", "0"], "workers=0"),
    ],
)
def test_command_line_errors_are_one_line(arguments, message, tmp_path, capsys):
    assert main([*arguments, "--out", str(tmp_path)]) == 1
    error = capsys.readouterr().err.strip()
    assert message in error and "\n" not in error


@pytest.mark.skipif(not (REAL / "WFLW").exists(), reason=f"no real data in {REAL / 'WFLW'} (set FACE_DATA)")
def test_real_wflw_prepares_every_face(out):
    index = prepare("WFLW", REAL / "WFLW", out, workers=1)
    assert not index["skipped"] and {face["split"] for face in index["faces"]} == {"test"}
    assert not (out / "wflw" / "normalized_labels").exists()
