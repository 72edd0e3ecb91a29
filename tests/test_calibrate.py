"""evaluation/calibrate.py: occluded landmarks, the fit of a known calibration, and cross-validation."""

import dataclasses

import numpy as np
import pytest

from evaluation import calibrate
from face_datasets.catalogue import get_dataset
from face_datasets.face_dataset import FaceDataset, load_faces
from inference.confidence import Calibration
from inference.config import OCCLUDER_FRACTION

SIDE = 120
COUNT = 5


def flat_faces(landmarks):
    """Faces with these landmarks (faces, points, 2), each in a picture of one grey level."""
    images = [np.full((SIDE, SIDE, 3), 20 + 30 * number, np.uint8) for number in range(len(landmarks))]
    identity, none = np.tile(np.eye(2, 3), (len(landmarks), 1, 1)), [()] * len(landmarks)
    names = [f"{number}.jpg" for number in range(len(landmarks))]
    return FaceDataset(get_dataset("300W"), "validation", names, images, landmarks, identity, none, [])


@pytest.mark.parametrize("low, high", [(30, 90), (-25, 60), (70, 150)])
def test_occluded_landmarks_are_those_whose_pixel_changes(low, high):
    """Some landmarks lie outside the picture."""
    landmarks = np.random.default_rng(0).uniform(low, high, (COUNT, 68, 2))
    faces = flat_faces(landmarks)
    for seed in range(8):
        images, occluded = calibrate.paste_occluders(faces, seed)
        for number, image in enumerate(images):
            pixels = np.floor(landmarks[number] + 0.5).astype(int)
            inside = ((pixels >= 0) & (pixels < SIDE)).all(axis=1)
            levels = np.full(68, faces.images[number][0, 0, 0])
            levels[inside] = image[pixels[inside, 1], pixels[inside, 0], 0]
            np.testing.assert_array_equal(occluded[number], levels != faces.images[number][0, 0, 0])
            assert set(np.unique(image)) <= {20 + 30 * number, 20 + 30 * ((number - 1) % COUNT)}  # its neighbour's
        assert 0 < occluded.mean() < 0.5


def test_size_of_the_occluder_and_unchanged_originals():
    faces = flat_faces(np.random.default_rng(1).uniform(20, 100, (COUNT, 68, 2)))
    images, _ = calibrate.paste_occluders(faces)
    for number, (image, landmarks) in enumerate(zip(images, faces.landmarks, strict=True)):
        assert (faces.images[number] == 20 + 30 * number).all()
        rows, columns = np.nonzero(image[..., 0] != 20 + 30 * number)
        sides = np.ptp(columns) + 1, np.ptp(rows) + 1
        np.testing.assert_allclose(sides, OCCLUDER_FRACTION * np.ptp(landmarks, axis=0), atol=0.51)
        assert len(rows) == np.prod(sides)  # a filled rectangle


TRUE = Calibration(-1.5, np.array([-6.0, -5.0, -7.0]))


def drawn(rng, shape, calibration=TRUE):
    """Deviations (..., points), and correct landmarks with the probability of the calibration."""
    deviation = np.exp(rng.uniform(-6, -2, (*shape, 3)))
    return deviation, rng.random(deviation.shape) < calibration.confidence(deviation)


def test_a_fit_finds_the_true_slope_and_offsets():
    found = calibrate.fit(*drawn(np.random.default_rng(2), (6000,)))
    assert found.slope == pytest.approx(TRUE.slope, abs=0.1)
    np.testing.assert_allclose(found.offsets, TRUE.offsets, atol=0.4)
    assert (np.diff(found.confidence(np.array([[0.001] * 3, [0.1] * 3])), axis=0) < 0).all()


@pytest.mark.parametrize("correct", [True, False])
def test_all_landmarks_correct_or_wrong(correct):
    with pytest.raises(ValueError, match="cannot calibrate. Received"):
        calibrate.fit(np.full((4, 3), 0.01), np.full((4, 3), correct))


def test_each_half_has_the_confidence_of_the_fit_on_the_other():
    """The halves come from two calibrations: each half gets the confidence of the other half's."""
    other = dataclasses.replace(TRUE, slope=-0.5, offsets=np.array([-2.0, -1.0, -3.0]))
    rng = np.random.default_rng(3)
    halves = np.arange(4000) // 400 % 2  # blocks of a tenth
    deviations, correct = np.empty((2, 4000, 3)), np.empty((2, 4000, 3), bool)
    for half, calibration in enumerate((TRUE, other)):
        deviations[:, halves == half], correct[:, halves == half] = drawn(rng, (2, 2000), calibration)
    confidence = calibrate.cross_validated_confidence(deviations, correct)
    for half, calibration in enumerate((other, TRUE)):
        expected = calibration.confidence(deviations[:, halves == half])
        np.testing.assert_allclose(confidence[:, halves == half], expected, atol=0.05)


@pytest.mark.parametrize("count", [2, 3, 7, 10, 150])
def test_both_halves_hold_faces_and_neighbours_stay_together(count, monkeypatch):
    halves = []

    def remember(deviation, correct):
        halves.append(sorted({int(number) for number in deviation[:, 0]}))
        return TRUE

    monkeypatch.setattr(calibrate, "fit", remember)
    deviations = np.tile(np.arange(count, dtype=float)[:, None], (2, 1, 3))
    calibrate.cross_validated_confidence(deviations, deviations > 0)
    first, second = halves
    assert sorted(first + second) == list(range(count)) and abs(len(first) - len(second)) <= max(1, count // 10)
    cuts = sum((number in first) != (number + 1 in first) for number in range(count - 1))
    assert cuts == min(10, count) - 1


def test_rank_correlation_by_hand():
    """Ranks 1 2 3 4 and 1 2 4 3: 1 - 6 (1 + 1) / (4 * 15)."""
    assert calibrate.rank_correlation(np.array([[1, 5], [6, 9.0]]), np.array([[0, 1], [8, 7.0]])) == pytest.approx(0.8)


def test_errors_are_divided_by_the_data_set_s_own_normaliser(weights, prepared_300w, tmp_path, monkeypatch):
    """A set with boxes, as AFLW's, of 80 by 20 pixels, and errors of 1, 1.9, 2.1 and 4 pixels, where 5 % are 2."""
    for suffix in (".keras", ".json"):
        (tmp_path / f"tiny{suffix}").write_bytes(weights.with_suffix(suffix).read_bytes())
    faces = load_faces(prepared_300w, "300W", "validation")
    boxed = dataclasses.replace(
        faces, dataset=dataclasses.replace(faces.dataset, normaliser="box"), boxes=np.tile([0, 0, 80, 20], (2, 1))
    )
    monkeypatch.setattr(calibrate, "get_dataset", lambda name: boxed.dataset)
    monkeypatch.setattr(calibrate, "load_faces", lambda *given: boxed)
    errors = np.random.default_rng(4).choice([1, 1.9, 2.1, 4], (2, 68))
    views = boxed.landmarks[:, None] + np.stack([errors - 0.5, errors + 0.5], axis=1)[..., None] * (0, 1)
    monkeypatch.setattr(calibrate, "predict_views", lambda *given: views)
    measured = calibrate.calibrate(str(tmp_path / "tiny.keras"), "300W", str(prepared_300w))
    assert measured["normaliser"] == "box"
    correct = measured["mean confidence, and share that is right"]["open faces"][1]
    assert correct == pytest.approx((errors < 2).mean())
