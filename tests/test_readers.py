"""Readers on tiny files of every format, and on the real data sets if they exist."""

import os
from pathlib import Path

import h5py
import numpy as np
import pytest
from annotation_files import (
    pts_text,
    ramp,
    wflw_line,
    write_cofw,
    write_picture,
    write_points_mat,
    write_rendered_face,
    write_wflw,
)
from scipy.io import savemat
from scipy.optimize import linear_sum_assignment

from config import ROOT
from face_datasets.catalogue import get_dataset
from face_datasets.readers import Annotation, SkippedFace, find_parts, read_face, read_part
from face_datasets.readers.pts import parse_pts

REAL = Path(os.environ.get("FACE_DATA", ROOT / "../shared/data"))
W300, COFW, COFW68, WFLW = (get_dataset(name) for name in ("300W", "COFW", "COFW-68", "WFLW"))


def real(*names):
    """Skip a test unless the real data set lies below FACE_DATA."""
    path = REAL.joinpath(*names)
    return pytest.mark.skipif(not path.exists(), reason=f"no real data in {path} (set FACE_DATA)")


def faces_of(dataset, root, number=0):
    return list(read_part(dataset, dataset.parts[number], root))


# ---------------------------------------------------------------------------------------------------------- 300W


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text,
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.replace(" ", "\t "),
        lambda text: text.upper(),
        lambda text: "\ufeff" + text,
        lambda text: text.replace("{\n", "{ ").rstrip(),
    ],
)
def test_pts_in_every_dress(change):
    landmarks = ramp(68)
    read = parse_pts(change(pts_text(landmarks)).encode(), 68)
    np.testing.assert_allclose(read, landmarks)


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "no n_points header"),
        (pts_text(ramp(67)), "67 points announced, 67 found; expected 68"),
        (pts_text(ramp(68)).replace("n_points:  68", "n_points:  70"), "70 points announced, 68 found; expected 68"),
        (pts_text(ramp(68)).replace("}", ""), "unbalanced braces: 1 open, 0 closed"),
        (pts_text(ramp(68)).replace("{", ""), "unbalanced braces: 0 open, 1 closed"),
        (pts_text(ramp(68)).replace("10.000", "ten"), "is no number"),
    ],
)
def test_bad_pts_says_what_is_wrong(text, message):
    with pytest.raises(ValueError, match=message):
        parse_pts(text.encode(), 68)


def test_300w_faces_are_sorted_zero_based_and_whole(tmp_path):
    folder = tmp_path / "afw"
    for stem, suffix in (("22_1", ".PNG"), ("11_2", ".jpg"), ("11_1", ".jpeg")):
        write_picture(folder / f"{stem}{suffix}")
        (folder / f"{stem}.pts").write_text(pts_text(ramp(68)))
    faces = faces_of(W300, tmp_path)
    assert [face.image for face in faces] == ["afw/11_1.jpeg", "afw/11_2.jpg", "afw/22_1.PNG"]
    assert [face.photo_id for face in faces] == ["11", "11", "22"]
    np.testing.assert_allclose(faces[0].landmarks, ramp(68) - 1)  # .pts counts from 1
    image, raw = read_face(faces[0])
    assert image.shape == (30, 40, 3) and image[5, 5, 0] > 150 and raw is faces[0]


def test_300w_test_faces_know_their_subsets(tmp_path):
    for part in W300.parts:
        write_picture(tmp_path / part.path / "image_0001.png")
        (tmp_path / part.path / "image_0001.pts").write_text(pts_text(ramp(68)))
    faces = {part.path: next(read_part(W300, part, tmp_path)) for part in W300.parts}
    assert faces["helen/testset"].subsets == ("full", "common")
    assert faces["ibug"].subsets == ("full", "challenging")
    assert faces["01_Indoor"].subsets == ("private", "indoor")
    assert faces["afw"].subsets == ()
    assert (
        faces["lfpw/trainset"].photo_id != faces["lfpw/testset"].photo_id
    )  # image_0001 is someone else in each folder


def test_300w_names_every_unusable_file(tmp_path):
    folder = tmp_path / "afw"
    write_picture(folder / "1_1.jpg")
    write_picture(folder / "2_1.jpg")
    write_picture(folder / "2_1.png")
    for stem in ("2_1", "3_1"):
        (folder / f"{stem}.pts").write_text(pts_text(ramp(68)))
    write_picture(folder / "5_1.jpg")
    (folder / "5_1.pts").write_text("n_points: 68")
    faces = faces_of(W300, tmp_path)
    reasons = {face.file: face.reason for face in faces if isinstance(face, SkippedFace)}
    assert [face.image for face in faces if isinstance(face, Annotation)] == ["afw/2_1.jpg"]
    assert reasons.keys() == {f"afw/{name}" for name in ("1_1.jpg", "2_1.png", "3_1.pts", "5_1.pts")}
    assert "expected 1_1.pts" in reasons["afw/1_1.jpg"] and "no picture" in reasons["afw/3_1.pts"]
    assert "second picture" in reasons["afw/2_1.png"]


# ---------------------------------------------------------------------------------------------------------- COFW


def two_cofw_pictures():
    colour = np.zeros((20, 30, 3), np.uint8)
    colour[4, 7] = (200, 100, 50)  # row 4, column 7
    grey = np.zeros((25, 15), np.uint8)
    grey[3, 9] = 99
    return [colour, grey]


def write_two_cofw_faces(root, end="T", name="COFW_test_color.mat", points=29):
    flags = np.zeros((2, points))
    flags[1, 5] = 1
    write_cofw(root / name, two_cofw_pictures(), [ramp(points), ramp(points) + 1], flags, [[3, 4, 10, 12]] * 2, end)


def test_cofw_pictures_points_boxes_and_occlusion(tmp_path):
    write_two_cofw_faces(tmp_path)
    first, second = faces_of(COFW, tmp_path, number=1)
    assert (first.image, second.image) == ("COFW_test_color.mat/0001", "COFW_test_color.mat/0002")
    assert first.subsets == ("full",) and first.photo_id != second.photo_id
    np.testing.assert_allclose(first.landmarks, ramp(29) - 1)
    assert first.box == (2, 3, 12, 15)  # MATLAB's x, y, width, height
    assert sum(first.occluded) == 0 and second.occluded[5] == 1 and sum(second.occluded) == 1
    image, _ = read_face(first)
    assert image.shape == (20, 30, 3) and image[4, 7].tolist() == [200, 100, 50]
    grey, _ = read_face(second)
    assert grey.shape == (25, 15, 3) and grey[3, 9].tolist() == [99, 99, 99]


def test_cofw_of_another_layout(tmp_path):
    path = tmp_path / "COFW_test_color.mat"
    path.write_bytes(b"MATLAB 5.0 MAT-file" + bytes(500))
    with pytest.raises(ValueError, match=r"COFW_test_color.mat is not a valid MATLAB v7.3"):
        faces_of(COFW, tmp_path, number=1)
    with h5py.File(path, "w") as file:
        file["faces"] = np.zeros(3)
    with pytest.raises(ValueError, match="another layout. Received faces; COFW has IsTr"):
        faces_of(COFW, tmp_path, number=1)
    write_two_cofw_faces(tmp_path, points=19)
    with pytest.raises(ValueError, match=r"phisT has shape \(2, 57\). Expected \(2, 87\)"):
        faces_of(COFW, tmp_path, number=1)


def test_cofw_picture_of_another_kind(tmp_path):
    flags = np.zeros((1, 29))
    write_cofw(tmp_path / "COFW_test_color.mat", [np.zeros((5, 6))], [ramp(29)], flags, [[1, 1, 2, 2]])
    (face,) = faces_of(COFW, tmp_path, number=1)
    with pytest.raises(ValueError, match="picture 1 is float64 of shape"):
        read_face(face)


def test_cofw68_takes_cofw_pictures_and_its_own_points(tmp_path):
    write_two_cofw_faces(tmp_path)
    folder = tmp_path / "COFW68_Data" / "test_annotations"
    folder.mkdir(parents=True)
    occluded = np.zeros((68, 1))
    occluded[3] = 1
    write_points_mat(folder / "1_points.mat", ramp(68), occluded)
    write_points_mat(folder / "2_points.mat", ramp(67), occluded)
    savemat(folder.parent / "cofw68_test_bboxes.mat", {"bboxes": np.array([[3, 4, 10, 12]] * 2)})
    face, bad = faces_of(COFW68, tmp_path)
    np.testing.assert_allclose(face.landmarks, ramp(68) - 1)
    assert face.occluded[3] == 1 and face.box == (2, 3, 12, 15) and face.image == "COFW_test_color.mat/0001"
    assert read_face(face)[0].shape == (20, 30, 3)
    assert bad.file == "COFW68_Data/test_annotations/2_points.mat" and "expected (68, 2)" in bad.reason


def test_cofw68_without_annotations(tmp_path):
    write_two_cofw_faces(tmp_path)
    with pytest.raises(FileNotFoundError, match="no 68-point annotations. Looked for: test_annotations"):
        faces_of(COFW68, tmp_path)


# ---------------------------------------------------------------------------------------------------------- WFLW


def test_wflw_lines(tmp_path):
    lines = [
        wflw_line(ramp(98), [1, 0, 0, 0, 0, 1], "0--Parade/a b.jpg"),
        wflw_line(ramp(98) + 1, [0, 0, 0, 1, 0, 0], "0--Parade/c.jpg"),
        wflw_line(ramp(98) + 2, [0] * 6, "0--Parade/c.jpg"),
    ]
    write_wflw(tmp_path, lines)
    faces = faces_of(WFLW, tmp_path, number=1)
    names = [f"WFLW_images/0--Parade/{name}" for name in ("a b.jpg", "c.jpg", "c.jpg#2")]
    assert [face.image for face in faces] == names
    assert [face.subsets for face in faces] == [("full", "pose", "blur"), ("full", "make-up"), ("full",)]
    assert faces[1].photo_id == faces[2].photo_id != faces[0].photo_id
    assert faces[0].box == (1, 2, 30, 40)
    np.testing.assert_allclose(faces[0].landmarks, ramp(98))  # 0-based already
    assert read_face(faces[2])[0].shape == (30, 40, 3)


def test_wflw_training_faces_belong_to_no_subset(tmp_path):
    write_wflw(tmp_path, [wflw_line(ramp(98), [1] * 6, "0--Parade/c.jpg")], number=0)
    assert faces_of(WFLW, tmp_path)[0].subsets == ()


@pytest.mark.parametrize(
    "line, message",
    [
        ("1 2 3 c.jpg", "4 fields; expected 196 coordinates"),
        (wflw_line(ramp(98), [0] * 6, "0--Parade/gone.jpg"), "no picture WFLW_images/0--Parade/gone.jpg"),
        (wflw_line(ramp(98), [0] * 6, "../../c.jpg"), "lies outside"),
        (wflw_line(ramp(98), [0] * 6, "/etc/c.jpg"), "lies outside"),
        (wflw_line(ramp(98), [0] * 5 + ["x"], "0--Parade/c.jpg"), "no number"),
    ],
)
def test_bad_wflw_line_is_named_by_number(tmp_path, line, message):
    write_wflw(tmp_path, [wflw_line(ramp(98), [0] * 6, "0--Parade/c.jpg"), "", line])
    good, bad = faces_of(WFLW, tmp_path, number=1)
    assert isinstance(good, Annotation)
    assert bad.file.endswith("test.txt:3") and message in bad.reason


# ---------------------------------------------------------------------------------------------------------- parts


def test_missing_parts_keep_their_official_count(tmp_path):
    write_picture(tmp_path / "afw" / "1_1.jpg")
    (tmp_path / "ibug").mkdir()  # an empty folder is a missing part
    found, missing = find_parts(W300, tmp_path)
    assert [part.path for part in found] == ["afw"]
    assert {part.path: part.count for part in missing}["ibug"] == 135
    assert "helen_recovered" not in {part.path for part in missing}


def test_folder_without_any_part(tmp_path):
    with pytest.raises(FileNotFoundError, match="The folder is empty; looked for: afw, helen/trainset"):
        find_parts(W300, tmp_path)
    write_picture(tmp_path / "afw" / "1_1.jpg")
    with pytest.raises(FileNotFoundError, match="with afw, which looks like --dataset 300W; looked for: COFW_train"):
        find_parts(COFW, tmp_path)
    with pytest.raises(FileNotFoundError, match="no such folder. Received .*nowhere"):
        find_parts(W300, tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="name it with --raw"):
        find_parts(W300, None)


def test_synthetic_faces_are_rendered_on_demand():
    synthetic = get_dataset("synthetic")
    train, test = (next(read_part(synthetic, part, None)) for part in synthetic.parts)
    assert (train.row, test.row) == (0, 1_000_000_000)
    assert train.landmarks is None and test.subsets == ("full",)
    image, raw = read_face(test)
    assert image.dtype == np.uint8 and image.shape == (synthetic.render_size, synthetic.render_size, 3)
    assert raw.landmarks.shape == (68, 2) and set(raw.occluded) <= {0, 1}
    assert raw.subsets[0] == "full" and set(raw.subsets) <= set(synthetic.subsets["test"])
    assert read_face(train)[1].subsets == ()


def test_seeds_of_rendered_splits_never_meet():
    synthetic = get_dataset("synthetic")
    seeds = [{face.row for face in read_part(synthetic, part, None)} for part in synthetic.parts]
    assert not seeds[0] & seeds[1] and [len(part) for part in seeds] == [part.count for part in synthetic.parts]


# ---------------------------------------------------------------------------------------------------------- real data


@real("300W")
def test_real_300w_counts():
    faces = {part.path: list(read_part(W300, part, REAL / "300W")) for part in find_parts(W300, REAL / "300W")[0]}
    for path, read in faces.items():
        assert len(read) == len(list((REAL / "300W" / path).glob("*.pts"))) > 0, path
    assert all(isinstance(face, Annotation) for part in faces.values() for face in part)


@pytest.mark.parametrize(
    "title",
    [
        pytest.param("300W", marks=real("300W")),
        pytest.param("COFW", marks=real("COFW")),
        pytest.param("WFLW", marks=real("WFLW")),
    ],
)
def test_flip_partners_fit_the_mean_face(title):
    """Of all one-to-one pairings, the partners bring the mirrored mean face closest to the mean face."""
    dataset = get_dataset(title)
    root = REAL / title
    faces = [face.landmarks for part in find_parts(dataset, root)[0] for face in read_part(dataset, part, root)]
    faces = np.stack(faces)  # (n, points, 2)
    faces = faces - faces.mean(axis=1, keepdims=True)
    faces /= np.sqrt((faces**2).sum(axis=(1, 2), keepdims=True))
    partners = list(dataset.layout.partners)
    mean = faces.mean(axis=0)  # (points, 2)
    mirrored = mean * (-1, 1)
    residuals = ((mean[:, None] - mirrored[None]) ** 2).sum(axis=-1)  # (points, points)
    rows, best = linear_sum_assignment(residuals)
    ours = residuals[rows, partners].sum()
    assert ours <= residuals[rows, best].sum() + 1e-12, np.flatnonzero(best != partners)


def test_frames_of_a_clip_stand_for_one_photo(tmp_path):
    for stem in ("test_Ann_Lee_01", "test_Ann_Lee_40", "test_Bo_Ek_01"):
        write_rendered_face(tmp_path / "youtube_faces", stem, seed=1, size=64)
    dataset = get_dataset("YouTube-Faces")
    first, second, other = read_part(dataset, dataset.parts[0], tmp_path)
    assert first.photo_id == second.photo_id == "youtube_faces/test_Ann_Lee" != other.photo_id
