"""The embedded faces: the same seed gives the same pixels, landmarks lie where the drawing is."""

import itertools
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from config import LAYOUT_68
from synthetic_faces import render_face, shape
from synthetic_faces.canvas import Canvas, smooth

SEEDS = range(40)
UPRIGHT = SimpleNamespace(yaw=0.0, pitch=0.0, roll=0.0, scale=0.2, x=0.5, y=0.5, gaze_x=0.0, gaze_y=0.0)


def middle(limits):
    return SimpleNamespace(**{name: (low + high) / 2 for name, (low, high) in limits.items()})


@pytest.fixture(scope="module")
def faces():
    return [render_face(seed, 128) for seed in SEEDS]


@pytest.fixture
def plain():
    """The middle of all ranges, (68, 3)."""
    return shape.landmarks_3d(middle(shape.IDENTITY), middle(shape.EXPRESSION), middle(shape.EXPRESSION))


def test_types_and_shapes():
    image, landmarks = render_face(3, 96)
    assert image.shape == (96, 96, 3) and image.dtype == np.uint8
    assert landmarks.shape == (68, 2) and landmarks.dtype == np.float64


def test_same_seed_same_pixels(faces):
    for seed in (0, 7):
        image, landmarks = render_face(seed, 128)
        np.testing.assert_array_equal(image, faces[seed][0])
        np.testing.assert_array_equal(landmarks, faces[seed][1])


def test_seeds_differ(faces):
    for (image, landmarks), (other_image, other) in itertools.pairwise(faces):
        assert np.abs(landmarks - other).max() > 1
        assert np.mean(image != other_image) > 0.5


def test_size_only_scales_the_face(faces):
    for seed in (1, 2, 3):
        image, landmarks = render_face(seed, 256)
        np.testing.assert_allclose((landmarks + 0.5) / 2 - 0.5, faces[seed][1], atol=1e-9)
        shrunk = cv2.resize(image, (128, 128), interpolation=cv2.INTER_AREA).astype(float)
        assert np.abs(shrunk - faces[seed][0]).mean() < 12


def test_leaves_the_global_random_state_alone():
    np.random.seed(5)
    expected = np.random.random()
    np.random.seed(5)
    render_face(1, 32)
    assert np.random.random() == expected


@pytest.mark.parametrize("size", [0, -4])
def test_size_below_one(size):
    with pytest.raises(ValueError, match=f"size={size}"):
        render_face(1, size)


def test_seed_below_zero():
    with pytest.raises(ValueError, match="seed=-1"):
        render_face(-1)


def test_one_pixel():
    assert render_face(1, 1)[0].shape == (1, 1, 3)


def test_landmarks_are_in_the_picture(faces):
    inside = [((marks >= -0.5) & (marks < 127.5)).all(axis=1) for _, marks in faces]
    assert np.mean(inside) > 0.99


def test_landmarks_lie_in_the_order_of_the_layout(plain):
    np.testing.assert_allclose(plain[list(LAYOUT_68.partners)] * [-1, 1, 1], plain, atol=0.02)
    assert np.all(np.diff(plain[0:17, 0]) > 0)  # the jaw runs from the image's left to its right
    assert np.all(np.diff(plain[17:27, 0]) > 0)
    assert plain[8, 1] == plain[:, 1].max()  # the chin
    assert np.all(np.diff(plain[27:31, 1]) > 0)
    assert plain[30, 2] == plain[:, 2].max()  # the tip of the nose
    for upper, lower in ((37, 41), (38, 40), (43, 47), (44, 46), (51, 62), (62, 66), (66, 57)):
        assert plain[upper, 1] <= plain[lower, 1]


def test_mirrored_expressions_give_the_mirror_image():
    person, rng = middle(shape.IDENTITY), np.random.default_rng(0)
    left, right = shape.draw_expressions(rng)
    face = shape.landmarks_3d(person, left, right)
    swapped = shape.landmarks_3d(person, right, left)
    np.testing.assert_allclose(swapped[list(LAYOUT_68.partners)] * [-1, 1, 1], face, atol=1e-12)


def test_projection_of_known_places():
    place = shape.PIVOT + [[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]]
    expected = [[0.5, 0.5], [0.7, 0.5], [0.5, 0.7], [0.5, 0.5]]
    np.testing.assert_allclose(shape.project(place, UPRIGHT), expected, atol=1e-12)
    for angle, expected in (("yaw", [0.6, 0.5]), ("pitch", [0.5, 0.6]), ("roll", [0.5, 0.5])):
        pose = SimpleNamespace(**{**vars(UPRIGHT), angle: 30.0})
        np.testing.assert_allclose(shape.project(place[3:], pose)[0], expected, atol=1e-12)
    np.testing.assert_allclose(
        shape.project(place[1:2], SimpleNamespace(**{**vars(UPRIGHT), "roll": 90.0})), [[0.5, 0.7]], atol=1e-12
    )


@pytest.mark.parametrize("yaw", [-35.0, 35.0])
def test_turned_head(plain, yaw):
    turned = shape.project(plain, SimpleNamespace(**{**vars(UPRIGHT), "yaw": yaw}))
    left, right = turned[30, 0] - turned[0, 0], turned[16, 0] - turned[30, 0]
    assert (left > 2 * right) if yaw > 0 else (right > 2 * left)
    assert turned[0, 0] < turned[36, 0] and turned[45, 0] < turned[16, 0]  # both eyes are in the outline


def test_curve_runs_through_its_points():
    points = np.random.default_rng(0).uniform(0, 1, (7, 2))
    curve = smooth(points)
    for point in points:
        assert np.linalg.norm(curve - point, axis=1).min() < 1e-12
    line = np.linspace([0, 0], [1, 2], 5)
    np.testing.assert_allclose(smooth(line)[:, 1], 2 * smooth(line)[:, 0], atol=1e-12)


def test_outlines_lie_on_their_points():
    canvas = Canvas(np.zeros((64, 64, 3), np.uint8), 1.0)
    canvas.fill(np.array([[0.25, 0.25], [0.75, 0.25], [0.75, 0.75], [0.25, 0.75]]), np.full(3, 255))
    row = canvas.pixels[32, :, 0] / 255
    assert np.all(row[16:48] == 1)  # from 0.25 to 0.75 of 64 pixels
    assert row.sum() == pytest.approx(32, abs=1.5)
    assert row[:15].sum() == pytest.approx(row[49:].sum(), abs=0.1)


def test_drawing_follows_the_landmarks():
    """Lids are dark lines through the landmarks: in most faces they are darker than the cheeks below."""
    darker = 0
    for seed in SEEDS:
        image, landmarks = render_face(seed, 256)
        grey = cv2.GaussianBlur(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), (0, 0), 1.0).astype(np.float32)
        lids, cheeks = landmarks[[37, 38, 43, 44]], (landmarks[[41, 46]] + landmarks[[31, 35]]) / 2
        at = [cv2.remap(grey, *part.astype(np.float32).T[:, :, None], cv2.INTER_LINEAR) for part in (lids, cheeks)]
        darker += at[0].mean() < at[1].mean()
    assert darker >= 0.85 * len(SEEDS)
