"""predict.py: the three stages, confidence, drawing, results, unreadable and untrusted pictures, the command line."""

import csv
import errno
import json
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import cv2
import keras
import numpy as np
import pytest
from PIL import Image
from skimage import data

import predict
from config import CROPS, ROOT
from evaluation.calibrate import calibrate
from face_datasets.catalogue import get_dataset
from face_datasets.face_dataset import load_faces
from face_datasets.layouts import LAYOUT_29, LAYOUT_68
from image_utility import (
    box_corners,
    compose,
    crop_image,
    crop_matrix,
    landmark_box,
    mirror_landmarks,
    overlap,
    to_targets,
    transform,
)
from inference.confidence import Calibration, load_calibration, map_back, tta_matrices, tta_std
from inference.config import TTA_VIEWS
from inference.face_detector import Detection
from inference.overlay import draw_faces
from inference.predictor import Face, Predictor, best_weights
from methods import Codec
from tests.robustness.tiny_network import build_tiny
from utils.files import write_json
from utils.image_files import read_untrusted_image

SIZE = 32
IDENTITY = np.eye(2, 3)[None]


@pytest.fixture(scope="module")
def predictor(weights):
    return Predictor(weights)


class MarkNetwork:
    """A stand-in for a trained network: 29 landmarks between a red and a green blob.

    Its prediction is exact in every view that shows the blobs, so that the stages before and after it can be checked to
    a fraction of a pixel.
    """

    path, input_size, points, crop, method, dataset = Path("marks.keras"), 64, 29, "square", "l2", "COFW"
    layout, codec = LAYOUT_29, Codec()

    def __init__(self):
        self.batches = []

    def predict(self, images):
        self.batches.append(len(images))
        grid = np.stack(np.meshgrid(np.arange(64), np.arange(64)), -1)
        blobs = []
        for channel in (0, 1):
            weight = images[..., channel].astype(np.float64)[..., None]  # (batch, 64, 64, 1)
            blobs.append((weight * grid).sum((1, 2)) / weight.sum((1, 2)).clip(1e-9))
        red, green = blobs  # (batch, 2)
        fractions = np.linspace(0, 1, 29)[:, None]
        line = red[:, None] * (1 - fractions) + green[:, None] * fractions
        return line  # (batch, 29, 2)


def marks(width=300, height=200, red=(120, 90), green=(170, 110)):
    """A black picture with a soft red and a soft green blob."""
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    image = np.zeros((height, width, 3), np.uint8)
    for channel, (u, v) in enumerate((red, green)):
        image[..., channel] = 255 * np.exp(-((x - u) ** 2 + (y - v) ** 2) / (2 * 1.5**2))
    return image


# --------------------------------------------------------------------------------------------------------------------
# Detect and crop, predict, map back
# --------------------------------------------------------------------------------------------------------------------


def mark_predictor():
    """A predictor with that network; its landmarks have no mirror partners, so only the crop itself is predicted."""
    return Predictor(MarkNetwork(), confidence=False)


def test_landmarks_come_back_to_image_pixels_from_a_loose_box():
    image = marks()
    (faces,) = mark_predictor().predict_boxes([image], [[Detection(np.array([100.0, 60, 190, 140]), 0.9)]])
    np.testing.assert_allclose(faces[0].landmarks[[0, -1]], [(120, 90), (170, 110)], atol=0.4)
    assert faces[0].score == 0.9 and faces[0].confidence is None
    np.testing.assert_array_equal(faces[0].box, [100, 60, 190, 140])


def test_all_faces_of_all_images_go_through_the_network_together():
    predictor = mark_predictor()
    box = Detection(np.array([100.0, 60, 190, 140]), 1.0)
    result = predictor.predict_boxes([marks()] * 4, [[box, box], [], [box], [box] * 3])
    assert [len(faces) for faces in result] == [2, 0, 1, 3]
    assert predictor.network.batches == [6, 6]  # two passes


def test_a_face_is_the_same_alone_and_among_others(predictor):
    astronaut = data.astronaut()
    box = Detection(np.array([180.0, 85, 272, 177]), 1.0)
    other = Detection(np.array([300.0, 200, 400, 320]), 1.0)
    alone = predictor.predict_boxes([astronaut], [[box]])[0][0]
    among = predictor.predict_boxes([marks(), astronaut], [[other], [other, box]])[1][1]
    np.testing.assert_allclose(alone.landmarks, among.landmarks, atol=1e-3)
    np.testing.assert_allclose(alone.confidence, among.confidence, atol=1e-3)


def test_one_line_finds_the_astronaut(predictor):
    (face,) = predictor.predict(data.astronaut())
    centre = (face.box[:2] + face.box[2:]) / 2
    np.testing.assert_allclose(centre, (224, 130), atol=25)  # of the face, by eye
    assert face.landmarks.shape == (68, 2) and face.confidence.shape == (68,)
    assert 0 <= face.score <= 1 and ((0 <= face.confidence) & (face.confidence <= 1)).all()


@pytest.mark.parametrize("image", [np.zeros((5, 5), np.uint8), np.zeros((5, 5, 3)), np.zeros((0, 5, 3), np.uint8)])
def test_arrays_of_another_form(predictor, image):
    with pytest.raises(ValueError, match="Received shape"):
        predictor.predict(image)


@pytest.mark.parametrize("shape", [(1, 1), (2, 900), (900, 2), (40, 40)])
def test_pictures_too_small_for_a_face(predictor, shape):
    assert predictor.predict(np.full((*shape, 3), 90, np.uint8)) == []


def test_damaged_weights_are_reported():
    predictor = mark_predictor()
    predictor.network.predict = lambda images: np.full((len(images), 29, 2), np.nan)
    with pytest.raises(ValueError, match="not finite"):
        predictor.predict_boxes([marks()], [[Detection(np.array([100.0, 60, 190, 140]), 1.0)]])


def test_boxes_in_the_border_of_a_detector_are_dropped():
    predictor = mark_predictor()
    inside, outside = (Detection(np.array(box, np.float64), 1.0) for box in ([-30, 0, 40, 70], [-60, 0, 20, 80]))

    class FixedDetector:
        def detect(self, image, points, name=""):
            return [inside, outside]

    predictor.detector = FixedDetector()
    assert predictor.detect(marks()) == [inside]


def test_the_crop_does_not_follow_landmarks_out_of_the_image():
    """If the first pass predicts points outside, the second one crops around the box again."""
    predictor = mark_predictor()
    predictor.network.predict = lambda images: np.linspace(-40, -10, 58).reshape(1, 29, 2).repeat(len(images), 0)
    (faces,) = predictor.predict_boxes([marks()], [[Detection(np.array([0.0, 0, 40, 40]), 1.0)]])
    assert len(faces) == 1 and (faces[0].landmarks < 0).all()


def test_best_weights(tmp_path):
    with pytest.raises(FileNotFoundError, match="train.py"):
        best_weights(tmp_path)
    for name, dataset, nme in (("a", "COFW", 3.0), ("b", "300W", 4.6), ("c", "300W", 4.2), ("d", "300W", None)):
        file = tmp_path / name / "x.keras"
        file.parent.mkdir(parents=True)
        file.touch()
        write_json(file.with_suffix(".json"), {"settings": {"dataset": dataset}, "validation": {"nme": nme}})
    assert best_weights(tmp_path).parent.name == "c"


def test_an_open_network_as_weights(predictor):
    assert Predictor(predictor.network, confidence=False).predict(data.astronaut())[0].confidence is None


# --------------------------------------------------------------------------------------------------------------------
# Crops of any picture
# --------------------------------------------------------------------------------------------------------------------


def test_crop_image_is_a_warp_of_the_image_if_nothing_shrinks():
    image = np.random.default_rng(0).integers(0, 256, (90, 120, 3), np.uint8)
    landmarks = np.array([[50.0, 30], [70, 55]])
    crops, matrices = crop_image(image, CROPS["square"], landmarks, 60, IDENTITY)
    matrix = crop_matrix(CROPS["square"], landmarks, 60)
    np.testing.assert_allclose(matrices[0], matrix)
    expected = cv2.warpAffine(image, matrix, (60, 60), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    assert np.abs(crops[0].astype(int) - expected).max() <= 1  # OpenCV rounds coordinates to 1/32 pixel


def test_crop_image_does_not_alias():
    """A checkerboard far finer than the crop becomes its mean."""
    image = np.repeat((np.indices((600, 600)).sum(0) % 2 * 255).astype(np.uint8)[..., None], 3, axis=-1)
    crops, _ = crop_image(image, CROPS["square"], np.array([[100.0, 100], [500, 500]]), 32, IDENTITY)
    assert np.abs(crops.astype(int) - 127.5).max() < 8


def test_a_crop_across_the_border_repeats_it_and_one_beyond_is_an_error():
    image = np.full((50, 50, 3), 77, np.uint8)
    crops, _ = crop_image(image, CROPS["square"], np.array([[-30.0, -30], [20, 20]]), 16, IDENTITY)
    assert (crops == 77).all()
    with pytest.raises(ValueError, match="outside the image"):
        crop_image(image, CROPS["square"], np.array([[200.0, 200], [220, 220]]), 16, IDENTITY)


def test_overlap():
    box = np.array([0.0, 0, 2, 2])
    np.testing.assert_allclose(overlap(box, [[0, 0, 2, 2], [1, 0, 3, 2], [5, 5, 6, 6]]), [1, 1 / 3, 0])
    np.testing.assert_array_equal(landmark_box(box_corners(box)), box)


# --------------------------------------------------------------------------------------------------------------------
# Confidence
# --------------------------------------------------------------------------------------------------------------------


def test_views_of_a_perfect_network_agree():
    """Landmarks transformed to each view, mirrored ones renamed, are all mapped back to the same coordinates."""
    landmarks = np.random.default_rng(0).uniform(20, 90, (68, 2))
    matrices = compose(tta_matrices(TTA_VIEWS, 112), np.array([[1.3, 0, -4], [0, 1.3, 7]]))
    in_views = transform(landmarks, matrices)  # (views, 68, 2)
    flips = [view.flip for view in TTA_VIEWS]
    in_views[flips] = mirror_landmarks(in_views[flips], LAYOUT_68.partners)
    back = map_back(in_views, matrices, LAYOUT_68)
    np.testing.assert_allclose(back, np.broadcast_to(landmarks, back.shape), atol=1e-9)
    np.testing.assert_allclose(tta_std(back), 0, atol=1e-9)


def test_tta_std_by_hand():
    """Two views, 2 px apart in x at one landmark; the mean's box is 8 wide and 2 high, its size 4."""
    views = np.array([[[0.0, 0], [7, 2]], [[0, 0], [9, 2]]])
    np.testing.assert_allclose(tta_std(views), [0, 0.25])
    np.testing.assert_allclose(tta_std(np.stack([views, views]) * 3), [[0, 0.25]] * 2)


def test_confidence_by_hand_and_through_a_file(tmp_path):
    calibration = Calibration(-1.0, np.log(np.array([0.01, 0.03])))  # odds are the offset's exponential / deviation
    np.testing.assert_allclose(calibration.confidence(np.array([0.01, 0.01])), [0.5, 0.75])
    assert isinstance(load_calibration(tmp_path / "x.keras", 2).offsets, float)  # no file: the default
    path = calibration.save(tmp_path / "x.keras", {"n": 3})
    read = load_calibration(tmp_path / "x.keras", 2)
    np.testing.assert_allclose(read.confidence(np.array([0.01, 0.01])), [0.5, 0.75], atol=1e-4)
    assert path.name == "x.confidence.json"
    with pytest.raises(ValueError, match=r"\(2,\).*\(3,\)"):
        load_calibration(tmp_path / "x.keras", 3)
    for text in ("{}", "[" * 100_000, f'{{"error": 5, "slope": {10**400}, "offsets": [1, 2]}}'):
        path.write_text(text)
        with pytest.raises(ValueError, match="x.confidence.json.*evaluation.calibrate"):
            load_calibration(tmp_path / "x.keras", 2)


@pytest.mark.integration
def test_calibration_from_end_to_end(weights, prepared_300w, tmp_path, capsys):
    model = keras.saving.load_model(weights)
    faces = load_faces(prepared_300w, "300W", "validation")
    targets = to_targets(transform(faces.landmarks, faces.crop_matrices(CROPS["square"], SIZE)), SIZE)
    kernel, _ = model.layers[-1].get_weights()
    model.layers[-1].set_weights([kernel, targets[0]])  # correct for the first of the two faces
    model.save(tmp_path / "tiny.keras")
    (tmp_path / "tiny.json").write_bytes(weights.with_suffix(".json").read_bytes())
    measured = calibrate(str(tmp_path / "tiny.keras"), "300W", str(prepared_300w))
    assert (tmp_path / "tiny.confidence.png").is_file()
    assert load_calibration(tmp_path / "tiny.keras", 68).offsets.shape == (68,)
    assert "reliability" in capsys.readouterr().out and measured["split"] == "validation"


# --------------------------------------------------------------------------------------------------------------------
# Untrusted pictures
# --------------------------------------------------------------------------------------------------------------------


def save(path, array, mode=None, **options):
    Image.fromarray(array, mode).save(path, **options)
    return path


def ramp(height=40, width=60):
    """A smooth colour picture."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x * 255 // width, y * 255 // height, np.full_like(x, 128)], -1).astype(np.uint8)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation_is_applied(tmp_path, orientation):
    exif = Image.Exif()
    exif[274] = orientation
    path = save(tmp_path / "x.jpg", ramp(), quality=98, exif=exif)
    with Image.open(path) as picture:
        from PIL import ImageOps

        upright = np.asarray(ImageOps.exif_transpose(picture))
    read = read_untrusted_image(path)
    assert read.shape == upright.shape
    assert np.abs(read.astype(int) - upright).max() < 12


def test_unusual_pictures_are_read_as_rgb(tmp_path):
    image = ramp()
    grey = image[..., 0]
    cases = {
        "grey.png": (save(tmp_path / "grey.png", grey), np.repeat(grey[..., None], 3, -1), 0),
        "alpha.png": (save(tmp_path / "a.png", np.dstack([image, grey])), image, 0),
        "cmyk.jpg": (tmp_path / "cmyk.jpg", image, 20),
        "deep.png": (tmp_path / "deep.png", np.repeat(grey[..., None], 3, -1), 1),
        "two.webp": (save(tmp_path / "two.webp", image, lossless=True), image, 0),
    }
    Image.fromarray(image).convert("CMYK").save(tmp_path / "cmyk.jpg", quality=98)
    cv2.imwrite(str(tmp_path / "deep.png"), grey.astype(np.uint16) * 257)
    for name, (path, expected, tolerance) in cases.items():
        read = read_untrusted_image(path)
        assert read.dtype == np.uint8 and np.abs(read.astype(int) - expected).max() <= tolerance, name


def png_chunk(part):
    """A chunk of a PNG file, from its name and content."""
    return struct.pack(">I", len(part) - 4) + part + struct.pack(">I", zlib.crc32(part))


def test_a_decompression_bomb_is_not_decoded(tmp_path):
    """A PNG of a few bytes whose header announces 20,000 x 20,000 pixels, and one that Pillow itself would refuse."""
    for side in (20_000, 60_000):
        header = b"IHDR" + struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
        data = b"IDAT" + zlib.compress(bytes(1000))
        path = tmp_path / "bomb.png"
        path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(map(png_chunk, (header, data))))
        with pytest.raises(ValueError, match="too large"):
            read_untrusted_image(path)


def test_wide_pictures_are_read(tmp_path, predictor):
    path = save(tmp_path / "wide.png", np.full((60, 20_000, 3), 200, np.uint8))
    assert predictor.predict(path) == []


def test_the_error_of_a_bomb_has_our_limit(tmp_path):
    header = b"IHDR" + struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    (tmp_path / "bomb.png").write_bytes(b"\x89PNG\r\n\x1a\n" + png_chunk(header) + png_chunk(b"IDAT"))
    with pytest.raises(ValueError, match="100,000,000 pixels"):
        read_untrusted_image(tmp_path / "bomb.png")


BAD = {
    "text.jpg": (lambda path: path.write_text("no picture"), "unknown format"),
    "empty.png": (lambda path: path.touch(), "an empty file"),
    "cut.jpg": (lambda path: _cut(save(path, ramp(200, 300))), "truncated"),
    "cut.png": (lambda path: _cut(save(path, ramp(200, 300))), "truncated"),
    "text.png": (lambda path: _add_text(save(path, ramp())), "damaged"),
    "moving.gif": (lambda path: _animate(path), "animated"),
    "moving.webp": (lambda path: _animate(path), "animated"),
}


def _cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _add_text(path):
    """A compressed text of many megabytes before the last chunk."""
    data, text = path.read_bytes(), b"zTXtcomment\x00\x00" + zlib.compress(bytes(70_000_000))
    path.write_bytes(data[:33] + png_chunk(text) + data[33:])


def _animate(path):
    frames = [Image.fromarray(ramp() + np.uint8(step)) for step in (0, 40)]
    frames[0].save(path, save_all=True, append_images=frames[1:])


@pytest.mark.parametrize("name", BAD)
def test_unreadable_pictures_are_named(tmp_path, name):
    make, message = BAD[name]
    make(tmp_path / name)
    with pytest.raises(ValueError, match=message) as error:
        read_untrusted_image(tmp_path / name)
    assert name in str(error.value)


# --------------------------------------------------------------------------------------------------------------------
# The command line
# --------------------------------------------------------------------------------------------------------------------


def run(weights, out, *inputs, **options):
    words = [word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    return predict.main([*map(str, inputs), "--out", str(out), "--weights", str(weights), *words])


def test_unreadable_inputs_are_reported_and_the_others_processed(weights, tmp_path, capsys):
    folder = tmp_path / "in"
    folder.mkdir()
    for name, (make, _) in BAD.items():
        make(folder / name)
    save(folder / "good.png", data.astronaut())
    save(folder / "pixel.png", np.zeros((1, 1, 3), np.uint8))
    (tmp_path / "empty").mkdir()
    inputs = [tmp_path / "empty", tmp_path / "none.jpg", folder / "good.png", folder]
    assert run(weights, tmp_path / "out", *inputs) == 1
    printed = capsys.readouterr().err
    for name in (*BAD, "empty", "none.jpg", "pixel.png: no face found"):
        assert name in printed
    entries = json.loads((tmp_path / "out/landmarks.json").read_text())
    assert [Path(entry["image"]).name for entry in entries] == ["good.png", "good.png", "pixel.png"]
    assert [len(entry["faces"]) for entry in entries] == [1, 1, 0]
    assert entries[0]["faces"] == entries[1]["faces"]
    face = entries[0]["faces"][0]
    assert list(face) == ["box", "score", "landmarks", "confidence"]
    assert np.shape(face["landmarks"]) == (68, 2) and np.shape(face["confidence"]) == (68,)
    drawn = sorted(path.name for path in (tmp_path / "out/drawn").iterdir())
    assert drawn == ["good.jpg", "good_2.jpg", "pixel.jpg"]


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may read everything")
def test_a_path_without_permission(weights, tmp_path, capsys):
    for path in (save(tmp_path / "closed.png", ramp()), tmp_path / "folder"):
        path.mkdir() if path.name == "folder" else None
        path.chmod(0)
    assert run(weights, tmp_path / "out", tmp_path / "closed.png", tmp_path / "folder") == 1
    assert capsys.readouterr().err.count("Permission denied") == 2


def test_an_unreadable_path_is_reported(weights, tmp_path, capsys, monkeypatch):
    """As above, for users who may read everything."""
    path = save(tmp_path / "closed.png", ramp())

    def refuse(self):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "read_bytes", refuse)
    assert "Permission denied" in str(predict._read(str(path)))


def test_folders_are_searched_and_unreadable_ones_listed(tmp_path, monkeypatch):
    for file in ("b/x.JPG", "a.png", ".hidden.png", ".git/b/w.png", "notes.txt", "b/c/y.mp4", "closed/z.png"):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).touch()
    walk = os.walk

    def refuse(top, onerror):
        onerror(PermissionError(13, "Permission denied", str(tmp_path / "closed")))
        return (entry for entry in walk(top) if not entry[0].endswith("closed"))

    monkeypatch.setattr(os, "walk", refuse)
    found = predict.find_files(["camera", str(tmp_path), "one.png"])
    names = [str(Path(name).relative_to(tmp_path)) if name.startswith("/") else name for name in found]
    assert names == ["camera", "a.png", "b/c/y.mp4", "b/x.JPG", "closed", "one.png"]


def test_only_the_drawing_of_a_picture_fails(weights, tmp_path, capsys):
    """One is too wide for a JPEG, the path of another drawing is a folder; the next picture is processed."""
    save(tmp_path / "a_wide.png", np.full((4, 70_000, 3), 90, np.uint8))
    for name in ("b", "c"):
        save(tmp_path / f"{name}.png", ramp())
    (tmp_path / "out/drawn/b.jpg").mkdir(parents=True)
    inputs = [tmp_path / f"{name}.png" for name in ("a_wide", "b", "c")]
    assert run(weights, tmp_path / "out", *inputs, detector="none") == 1
    printed = capsys.readouterr().err.strip().splitlines()
    assert len(printed) == 2 and "a_wide" in printed[0] and "b.jpg" in printed[1]
    assert len(json.loads((tmp_path / "out/landmarks.json").read_text())) == 3
    assert (tmp_path / "out/drawn/c.jpg").is_file()


def test_a_failing_picture_does_not_affect_its_batch(weights, tmp_path, capsys, monkeypatch):
    predict_boxes = Predictor.predict_boxes

    def refuse(self, images, found, *passes):
        if any(image.shape[0] == 77 for image in images):
            raise cv2.error("no such matrix")
        return predict_boxes(self, images, found, *passes)

    monkeypatch.setattr(Predictor, "predict_boxes", refuse)
    for name, height in (("a", 40), ("b", 77), ("c", 40)):
        save(tmp_path / f"{name}.png", ramp(height))
    inputs = [tmp_path / f"{name}.png" for name in "abc"]
    assert run(weights, tmp_path / "out", *inputs, detector="none") == 1
    assert "b.png: no such matrix" in capsys.readouterr().err
    entries = json.loads((tmp_path / "out/landmarks.json").read_text())
    assert [Path(entry["image"]).name for entry in entries] == ["a.png", "c.png"]


def test_old_landmarks_are_kept_if_all_inputs_fail_or_the_disk_is_full(weights, tmp_path, capsys, monkeypatch):
    save(tmp_path / "x.png", ramp())
    (tmp_path / "landmarks.json").write_text("old")
    assert run(weights, tmp_path, tmp_path / "none.png") == 1
    assert "no input could be read" in capsys.readouterr().err

    def full(path, image):
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(predict, "write_image", full)
    assert run(weights, tmp_path, tmp_path / "x.png") == 1
    assert "No space left" in capsys.readouterr().err
    assert (tmp_path / "landmarks.json").read_text() == "old"


def test_csv_without_a_detector(weights, tmp_path):
    save(tmp_path / "x.png", ramp())
    assert run(weights, tmp_path, tmp_path / "x.png", format="csv", detector="none") == 0
    (row,) = csv.DictReader((tmp_path / "landmarks.csv").open())
    assert row["image"].endswith("x.png") and row["track"] == "" and float(row["score"]) == 1
    assert len(row) == 8 + 3 * 68 and 0 <= float(row["confidence67"]) <= 1


def test_results_as_boxes(weights, tmp_path):
    save(tmp_path / "x.png", data.astronaut())
    assert run(weights, tmp_path / "one", tmp_path / "x.png") == 0
    assert run(weights, tmp_path / "two", tmp_path / "x.png", detector=tmp_path / "one/landmarks.json") == 0
    one, two = (json.loads((tmp_path / name / "landmarks.json").read_text()) for name in ("one", "two"))
    np.testing.assert_allclose(one[0]["faces"][0]["landmarks"], two[0]["faces"][0]["landmarks"], atol=0.1)


def test_unusable_weights(tmp_path, capsys, weights):
    assert run(tmp_path / "none.keras", tmp_path, "x.png") == 1
    model = build_tiny(None, get_dataset("COFW"), SIZE, 0.99)  # 29 landmarks
    model.save(tmp_path / "other.keras")
    (tmp_path / "other.json").write_text(weights.with_suffix(".json").read_text())  # of 300W
    assert run(tmp_path / "other.keras", tmp_path, "x.png") == 1
    printed = capsys.readouterr().err
    assert "no such weights file" in printed and "29" in printed and "68" in printed
    assert not (tmp_path / "landmarks.json").exists()


@pytest.mark.integration
def test_help_from_the_shell():
    done = subprocess.run([sys.executable, "predict.py", "--help"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0 and "camera" in done.stdout


@pytest.mark.integration
def test_commands_parse_their_arguments_before_keras_is_imported():
    code = (
        "import sys, export, predict, inference.web_demo; "
        "sys.exit(bool({'keras', 'tensorflow', 'matplotlib'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


# --------------------------------------------------------------------------------------------------------------------
# Drawing
# --------------------------------------------------------------------------------------------------------------------


def test_drawing_changes_only_the_pixels_of_the_landmarks():
    image = np.full((200, 200, 3), 100, np.uint8)
    landmarks = np.random.default_rng(0).uniform(60, 140, (68, 2))
    face = Face(landmarks, np.array([55.0, 55, 145, 145]), 0.5, np.full(68, 1.0))
    drawn = draw_faces(image, [face], LAYOUT_68)
    assert (image == 100).all()
    x, y = landmarks[30].round().astype(int)
    assert drawn[y, x].tolist() != [100, 100, 100]
    assert (drawn[160:] == 100).all() and (drawn[:, 160:] == 100).all()


def test_drawing_far_outside_the_picture():
    shape = np.arange(136).reshape(68, 2)
    far = Face(np.full((68, 2), 1e7) + shape, np.array([1e7, 1e7, 1e7 + 9, 1e7 + 9]), 1.0, None)
    farther = Face(shape * 1e30, np.array([-1e12, -1e12, 1e12, 1e12]), 1.0, None)
    assert draw_faces(np.zeros((20, 20, 3), np.uint8), [far, farther], LAYOUT_68).shape == (20, 20, 3)
