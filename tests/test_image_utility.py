"""Matrices of images and landmarks, crops by hand, and augmentation."""

import numpy as np
import pytest

from config import CROPS
from face_datasets.layouts import LAYOUT_68
from image_utility import (
    PHOTOMETRIC,
    Augmentation,
    apply_photometric,
    compose,
    crop_matrix,
    from_grid,
    from_targets,
    invert,
    mirror_landmarks,
    occlude,
    sample_affine,
    sample_photometric,
    shrink,
    to_grid,
    to_targets,
    transform,
    warp,
)

FACE = np.array([[100.0, 200.0], [300.0, 250.0], [220.0, 400.0], [180.0, 310.0]])  # box 100, 200, 300, 400


def spot(size, points, width=18.0):
    """An image with a small Gaussian spot at every point, to be found again by its centre of mass."""
    y, x = np.mgrid[:size, :size]
    image = sum(np.exp(-((x - px) ** 2 + (y - py) ** 2) / width) for px, py in points)
    return np.repeat(np.clip(image * 255, 0, 255).astype(np.uint8)[..., None], 3, axis=2)


def found_spot(image, near, radius=14):
    """Centre of mass of the brightness around a point."""
    y, x = np.mgrid[: image.shape[0], : image.shape[1]]
    weight = image[..., 0].astype(float) * (np.hypot(x - near[0], y - near[1]) < radius)
    return np.array([(weight * x).sum(), (weight * y).sum()]) / weight.sum()


@pytest.mark.parametrize(
    ("name", "corners"),
    [
        ("square", [(80, 180), (320, 420)]),
        ("tight", [(90, 190), (310, 410)]),
        ("ace", [(50, 134 - 0), (350, 434)]),
        ("centroid", [(200 - 130, 290 - 130), (200 + 130, 290 + 130)]),
    ],
)
def test_crops_by_hand(name, corners):
    matrix = crop_matrix(CROPS[name], FACE, 224)
    np.testing.assert_allclose(transform(np.array(corners, float), matrix), [[0, 0], [224, 224]], atol=1e-9)


def test_a_square_crop_takes_the_longer_side_and_a_tight_one_stretches():
    wide = np.array([[0.0, 0.0], [100.0, 50.0]])
    square, tight = (crop_matrix(CROPS[name], wide, 100) for name in ("square", "tight"))
    assert square[0, 0] == square[1, 1] == pytest.approx(100 / 120)
    np.testing.assert_allclose(transform(np.array([[50.0, 25.0]]), square), [[50, 50]])
    assert (tight[0, 0], tight[1, 1]) == (pytest.approx(100 / 120), pytest.approx(100 / 70))


@pytest.mark.parametrize("name", CROPS)
def test_crop_and_back_stays_below_a_thousandth_of_a_pixel(name):
    rng = np.random.default_rng(0)
    for _ in range(50):
        face = rng.uniform(0, 4000) + rng.uniform(-1, 1, (68, 2)) * rng.uniform(5, 2000)
        matrix = crop_matrix(CROPS[name], face, 112)
        assert np.abs(transform(transform(face, matrix), invert(matrix)) - face).max() < 1e-3


def test_a_face_without_extent_is_an_error():
    with pytest.raises(ValueError, match="without extent"):
        crop_matrix(CROPS["square"], np.ones((68, 2)), 112)


@pytest.mark.parametrize("factor", [0.9, 0.37, 0.1])
def test_shrinking_keeps_landmarks_on_the_image(factor):
    points = np.array([[70.0, 90.0], [150.5, 80.25], [110.0, 160.0]])
    small, matrix = shrink(spot(240, points, width=40 / factor), factor)
    for point in transform(points, matrix):
        np.testing.assert_allclose(found_spot(small, point, radius=40 * factor), point, atol=0.1)


def test_nothing_is_enlarged():
    image = np.zeros((5, 7, 3), np.uint8)
    same, matrix = shrink(image, 1.5)
    assert same is image
    np.testing.assert_array_equal(matrix, [[1, 0, 0], [0, 1, 0]])


def test_compose_is_one_after_the_other():
    rng = np.random.default_rng(1)
    outer, inner, points = rng.normal(size=(5, 2, 3)), rng.normal(size=(5, 2, 3)), rng.normal(size=(5, 7, 2))
    expected = transform(transform(points, inner), outer)
    np.testing.assert_allclose(transform(points, compose(outer, inner)), expected, atol=1e-12)


def test_image_and_landmarks_stay_together():
    rng = np.random.default_rng(2)
    points = np.array([[70.0, 90.0], [150.5, 80.25], [110.0, 160.0]])
    image = spot(240, points)
    affines, flips = sample_affine(rng, 20, Augmentation(), 240)
    assert flips.any() and not flips.all()
    for affine in affines:
        augmented = warp(image, affine, 240)
        for point in transform(points, affine):
            if (np.array([16, 16]) < point).all() and (point < 224).all():
                np.testing.assert_allclose(found_spot(augmented, point), point, atol=0.1)


def test_affines_stay_in_their_ranges():
    ranges = Augmentation(rotation=20, scale=(0.8, 1.1), shift=0.05, flip=0.5)
    affines, flips = sample_affine(np.random.default_rng(3), 2000, ranges, 100)
    linear = affines[:, :, :2].copy()
    scale = np.sqrt(np.abs(np.linalg.det(linear)))
    assert (np.linalg.det(linear) < 0).tolist() == flips.tolist()
    assert 0.8 <= scale.min() < 0.82 and 1.08 < scale.max() <= 1.1
    linear[flips, :, 0] *= -1
    angle = np.degrees(np.arctan2(linear[:, 1, 0], linear[:, 0, 0]))
    assert -20 <= angle.min() < -19 and 19 < angle.max() <= 20
    centre = transform(np.full((2000, 1, 2), 50.0), affines) - 50
    assert np.abs(centre).max() <= 5 + 1e-9
    assert 0.45 < flips.mean() < 0.55


ALWAYS = Augmentation(blur=1, noise=1, occlusion=1, grey=1)


def test_the_same_seed_gives_the_same_face():
    image = np.random.default_rng(4).integers(0, 255, (64, 64, 3), dtype=np.uint8)

    def augment(seed):
        return apply_photometric(image, sample_photometric(np.random.default_rng(seed), 1, ALWAYS, 64)[0])

    np.testing.assert_array_equal(augment(1), augment(1))
    assert (augment(1) != augment(2)).any()


def test_photometric_augmentation_does_not_change_its_input():
    image = np.full((64, 64, 3), 100, np.uint8)
    for photometric in sample_photometric(np.random.default_rng(0), 8, ALWAYS, 64):
        apply_photometric(image, photometric)
    assert (image == 100).all()


def test_photometric_parameters_stay_in_their_ranges():
    ranges = Augmentation(grey=0.2, blur=0.3, noise=0.4, occlusion=0.5)
    drawn = sample_photometric(np.random.default_rng(6), 4000, ranges, 112)
    occluded = drawn["occluder"][:, 2] > drawn["occluder"][:, 0]
    fractions = [drawn["grey"].mean(), (drawn["blur"] > 0).mean(), (drawn["noise"] > 0).mean(), occluded.mean()]
    np.testing.assert_allclose(fractions, [0.2, 0.3, 0.4, 0.5], atol=0.03)
    blurred, noisy = drawn["blur"][drawn["blur"] > 0], drawn["noise"][drawn["noise"] > 0]
    assert 0.5 <= blurred.min() and blurred.max() <= 1.5 and 2 <= noisy.min() and noisy.max() <= 12
    assert 2**-0.4 <= drawn["gamma"].min() and drawn["gamma"].max() <= 2**0.4
    occluder, patch = drawn["occluder"][occluded], drawn["patch_at"][occluded]
    sides = occluder[:, 2:] - occluder[:, :2]
    assert occluder.min() >= 0 and occluder.max() <= 112 and (patch + sides).max() <= 112
    assert int(0.1 * 112) <= sides.min() and sides.max() <= 0.45 * 112


def test_an_occluder_by_hand():
    image = np.arange(4 * 4 * 3, dtype=np.uint8).reshape(4, 4, 3)
    drawn = np.zeros((), PHOTOMETRIC)
    np.testing.assert_array_equal(occlude(image, drawn), image)
    drawn["occluder"], drawn["colour"] = (1, 0, 3, 1), (7, 8, 9)
    expected = image.copy()
    expected[0, 1:3] = (7, 8, 9)
    np.testing.assert_array_equal(occlude(image, drawn), expected)
    drawn["patch"], drawn["patch_at"] = True, (2, 3)
    expected[0, 1:3] = image[3, 2:4]
    np.testing.assert_array_equal(occlude(image, drawn), expected)


def test_a_flip_twice_is_no_flip():
    face = np.random.default_rng(5).uniform(0, 100, (68, 2))
    np.testing.assert_array_equal(
        mirror_landmarks(mirror_landmarks(face, LAYOUT_68.partners), LAYOUT_68.partners), face
    )


def test_targets_by_hand_and_back():
    landmarks = np.array([[[112.0, 0.0], [0.0, 224.0]]])
    targets = to_targets(landmarks, 224)
    np.testing.assert_allclose(targets, [[0.0, 0.5, 0.5, -0.5]])  # (112 - p) / 224, the original's sign
    np.testing.assert_allclose(from_targets(targets, 224), landmarks)


def test_grid_and_crop_pixels_have_the_same_corners():
    assert to_grid(np.array([-0.5, 255.5]), 2).tolist() == [-0.5, 127.5]
    np.testing.assert_allclose(from_grid(to_grid(np.array([3.0, 7.7]), 8), 8), [3.0, 7.7])
