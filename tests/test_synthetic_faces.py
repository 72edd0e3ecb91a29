"""Rendered faces: the ground truth agrees with the image."""

import dataclasses
import itertools

import cv2
import numpy as np
import pytest

from config import ANCHORS, CONTOURS
from face_datasets.catalogue import DATASETS, SYNTHETIC_SEEDS
from face_datasets.layouts import LAYOUT_29, LAYOUT_68, LAYOUT_98
from synthetic_faces import draw_parameters, render_face, render_parameters
from synthetic_faces.camera import PIVOT, Camera, rotation
from synthetic_faces.canvas import Canvas
from synthetic_faces.face import get_subsets
from synthetic_faces.ground_truth import JAW, LANDMARKS, GroundTruth
from synthetic_faces.head import Head
from synthetic_faces.light import Light
from synthetic_faces.raster import Surface, rasterise
from synthetic_faces.scene import build_surfaces, render_surfaces

LAYOUTS = {"68": LAYOUT_68, "29": LAYOUT_29, "98": LAYOUT_98}
EVEN_LIGHT = Light(np.float32([0, 0, 1]), np.zeros(3, np.float32), np.ones(3, np.float32))


def get_truth(parameters) -> GroundTruth:
    return GroundTruth(Head(parameters), Camera.from_pose(parameters.pose))


def face_surface(parameters) -> Surface:
    """The face alone, without ears, hair and body."""
    return build_surfaces(Head(parameters), parameters, np.random.default_rng(0), 1.0)[0]


def turned(parameters, **angles):
    pose = type(parameters.pose)(**{**vars(parameters.pose), **angles})
    return dataclasses.replace(parameters, pose=pose)


def plain(parameters):
    """Without accessories, occluders and faults of the camera."""
    appearance = type(parameters.appearance)(**vars(parameters.appearance))
    accessories = ("mask", "scarf", "cap", "headband", "glasses", "fringe")
    for name in ("occluder", *accessories, "noise", "motion", "blur", "dark"):
        setattr(appearance, name, False)
    return dataclasses.replace(parameters, appearance=appearance)


def distance_to(line: np.ndarray, point: np.ndarray) -> float:
    """Distance of a point (2,) from a line (n, 2)."""
    a, b = line[:-1], line[1:]
    along = np.einsum("nk,nk->n", point - a, b - a) / np.maximum(np.einsum("nk,nk->n", b - a, b - a), 1e-12)
    return float(np.linalg.norm(a + np.clip(along, 0, 1)[:, None] * (b - a) - point, axis=1).min())


# --------------------------------------------------------------------------------------------------------- a face


def test_types_and_shapes():
    face = render_face(3, 96)
    assert face.image.shape == (96, 96, 3) and face.image.dtype == np.uint8
    for name, layout in LAYOUTS.items():
        assert face.landmarks(name).shape == (layout.points, 2) and face.landmarks(name).dtype == np.float64
        assert face.visible(name).shape == (layout.points,) and face.visible(name).dtype == bool
    assert tuple(face.anchors()) == ANCHORS and tuple(face.contours()) == CONTOURS
    for line, seen in face.contours().values():
        assert line.shape == (len(seen), 2) and len(seen) > 50


def test_same_seed_same_face():
    first, again = render_face(11, 64), render_face(11, 64)
    np.testing.assert_array_equal(first.image, again.image)
    np.testing.assert_array_equal(first.landmarks(), again.landmarks())
    np.testing.assert_array_equal(first.visible(), again.visible())


def test_seeds_differ():
    faces = [render_face(seed, 64) for seed in range(4)]
    for one, other in itertools.combinations(faces, 2):
        assert np.abs(one.landmarks() - other.landmarks()).max() > 1
        assert np.mean(one.image != other.image) > 0.5


def test_size_only_scales_the_face():
    parameters = plain(draw_parameters(5))
    small, large = render_parameters(parameters, 128), render_parameters(parameters, 256)
    np.testing.assert_allclose((large.landmarks() + 0.5) / 2 - 0.5, small.landmarks(), atol=1e-9)
    shrunk = cv2.resize(large.image, (128, 128), interpolation=cv2.INTER_AREA).astype(float)
    assert np.abs(shrunk - small.image).mean() < 12


def test_leaves_the_global_random_state_alone():
    np.random.seed(5)
    expected = np.random.random()
    np.random.seed(5)
    render_face(1, 32)
    assert np.random.random() == expected


@pytest.mark.parametrize("size", [0, -4])
def test_size_below_one(size):
    with pytest.raises(ValueError, match=f"at least one pixel. Received size={size}"):
        render_face(1, size)


def test_seed_below_zero():
    with pytest.raises(ValueError, match="seed=-1"):
        render_face(-1)


def test_unknown_layout():
    with pytest.raises(ValueError, match="unknown landmark layout. Received '51'; known: 68, 98, 29"):
        render_face(1, 32).landmarks("51")


def test_one_pixel():
    assert render_face(1, 1).image.shape == (1, 1, 3)


# ------------------------------------------------------------------------------------------------------- exactness


@pytest.mark.parametrize("seed", [2, 9, 31, 40])
def test_a_painted_landmark_is_rendered_at_its_projection(seed):
    """White spots painted on black skin at landmarks: their centres of mass in the image, to half a pixel of 256.

    The image is larger, so that a spot is small beside the folds of lips and lids. A spot of which less than three
    quarters are visible is partly occluded; its centre is not used.
    """
    parameters = draw_parameters(seed)
    head, camera, truth = Head(parameters), Camera.from_pose(parameters.pose), get_truth(parameters)
    side, radius = 1024, 0.006
    surface = face_surface(parameters)
    points = np.concatenate(
        [truth.get_curve(name, np.array(fractions)) for name, fractions in LANDMARKS["68"] if name != JAW]
    )
    expected = truth.landmarks("68")[17:] * [side, side, 1] - [0.5, 0.5, 0]
    found = 0
    for group in range(7):  # neighbours would run into each other
        canvas = Canvas(head, 1100, 1000, np.zeros(3), 0.0)
        for point in points[group::7]:
            canvas.spot(point, (radius, radius), (1, 1, 1))
        view = render_surfaces([dataclasses.replace(surface, texture=canvas.pixels)], camera, EVEN_LIGHT, side)
        for point, (x, y, depth) in zip(points[group::7], expected[group::7], strict=True):
            around = point + radius * np.array([[1, 0], [-1, 0], [0, 1], [0, -1]])
            edge = camera.project(camera.to_camera(head.to_surface(around)))[:, :2] * side
            area = np.pi / 4 * abs(np.linalg.det([edge[0] - edge[1], edge[2] - edge[3]]))
            rows, columns = np.mgrid[round(y) - 4 : round(y) + 5, round(x) - 4 : round(x) + 5]
            mass = view.colour[rows, columns, 0]
            if depth < view.depth[round(y), round(x)] - 0.03 or mass.sum() < 0.75 * area or area < 2:
                continue
            centre = np.array([(columns * mass).sum(), (rows * mass).sum()]) / mass.sum()
            assert np.hypot(*(centre - [x, y])) < 0.5 * side / 256
            found += 1
    assert found >= 30


@pytest.mark.parametrize("yaw, pitch, seed", [(-45, 0, 4), (-20, 15, 5), (0, 0, 6), (20, -15, 7), (45, 10, 8)])
def test_the_jaw_is_the_edge_of_the_rendered_face(yaw, pitch, seed):
    """Points of the contour on the side that is turned away lie on the border of the face's pixels."""
    parameters = turned(draw_parameters(seed), yaw=yaw, pitch=pitch, roll=0)
    camera, side = Camera.from_pose(parameters.pose), 384
    screen = camera.project(face_surface(parameters).points).astype(np.float32)
    screen[..., :2] = screen[..., :2] * side - 0.5
    mask = np.zeros(side * side, np.uint8)
    mask[rasterise(screen, side).pixels] = 1
    mask = mask.reshape(side, side)
    inside = cv2.distanceTransform(mask, cv2.DIST_L2, 5) - 0.5  # pixels from the border, between centres
    outside = cv2.distanceTransform(1 - mask, cv2.DIST_L2, 5) - 0.5
    signed = np.where(mask > 0, inside, -outside)
    jaw = get_truth(parameters).landmarks("68")[:17, :2] * side - 0.5
    turned_away = slice(2, 15) if yaw == 0 else slice(9, 14) if yaw > 0 else slice(3, 8)
    x, y = jaw[turned_away].astype(np.float32).T
    depth = cv2.remap(signed.astype(np.float32), x[:, None], y[:, None], cv2.INTER_LINEAR)[:, 0]
    assert np.abs(depth).max() < 1.5  # of 384: a pixel of 256
    assert np.abs(depth.mean()) < 0.75  # half a pixel of 256


@pytest.mark.parametrize("seed", [302, 303, 307, 316])
def test_a_face_has_no_holes(seed):
    """Beside the nose and the lips of a rotated head, where one part of the skin occludes another."""
    parameters = draw_parameters(seed)
    camera, side = Camera.from_pose(parameters.pose), 320
    screen = camera.project(face_surface(parameters).points).astype(np.float32)
    screen[..., :2] = screen[..., :2] * side - 0.5
    mask = np.zeros(side * side, np.uint8)
    mask[rasterise(screen, side).pixels] = 1
    mask = mask.reshape(side, side)
    outlines = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0]
    filled = cv2.drawContours(np.zeros_like(mask), outlines, -1, 1, -1)
    assert not ((filled == 1) & (mask == 0)).any()


def test_the_jaw_never_turns_back():
    """In drawn faces, and up to the limits of yaw; with the chin raised to its limit too, the line may fold there."""
    faces = [draw_parameters(seed) for seed in range(150)]
    for seed in (4, 255, 583):
        faces += [
            turned(draw_parameters(seed), yaw=yaw, pitch=p) for yaw in (-60, -40, 0, 40, 60) for p in (-30, 0, 15)
        ]
    for parameters in faces:
        steps = np.diff(get_truth(parameters).curves[JAW][:, :2] * 256, axis=0)
        length = np.hypot(*steps.T)
        long = steps[length > 1]
        assert length.max() < 25
        assert (np.einsum("nk,nk->n", long[:-1], long[1:]) > 0).all()  # no turn of more than a right angle


@pytest.mark.parametrize("size", [64, 128, 256])
def test_the_jaw_of_a_face_without_occluders_is_visible_at_every_size(size):
    parameters = plain(draw_parameters(4))
    parameters.appearance.bald, parameters.appearance.long_hair = True, False
    assert render_parameters(turned(parameters, yaw=0, pitch=0, roll=0), size).visible().all()


def test_an_iris_behind_closed_lids_is_not_visible():
    parameters = turned(plain(draw_parameters(4)), yaw=0, pitch=0, roll=0, gaze_x=0, gaze_y=0)
    parameters.left.blink, parameters.right.blink = 1.0, 0.0
    face = render_parameters(parameters, 128)
    assert face.visible("98")[[96, 97]].tolist() == [False, True]
    assert [face.anchors()[f"{side} iris center"][1] for side in ("left", "right")] == [False, True]
    assert np.isfinite(face.landmarks("98")).all()


@pytest.mark.parametrize("seed", range(6))
def test_contours_pass_through_their_landmarks(seed):
    face = render_face(seed, 256)
    lines = {name: line for name, (line, _) in face.contours().items()}
    for layout in ("68", "98", "29"):
        landmarks = face.landmarks(layout)
        names = [name for name, fractions in LANDMARKS[layout] for _ in fractions]
        for name, landmark in zip(names, landmarks, strict=True):
            if name in lines:
                assert distance_to(lines[name], landmark) < 0.1
    for name, (anchor, _) in face.anchors().items():
        if "iris" not in name:
            assert min(distance_to(line, anchor) for line in lines.values()) < 0.1


@pytest.mark.parametrize("seed", range(3))
def test_contours_are_dense_enough(seed):
    """The points of a contour with five times as many lie within a tenth of a pixel of 256."""
    parameters = draw_parameters(seed)
    head, camera = Head(parameters), Camera.from_pose(parameters.pose)
    coarse, fine = (GroundTruth(head, camera, points).contours() for points in (257, 1281))
    for name in set(CONTOURS) - {JAW}:
        for point in fine[name][::4, :2]:
            assert distance_to(coarse[name][:, :2], point) * 256 < 0.1


@pytest.mark.parametrize("seed", range(5))
def test_layouts_agree_with_each_other(seed):
    """The same point of a face in two layouts: corners of eyes and mouth, nose, chin."""
    face = render_face(seed, 256)
    marks = {name: face.landmarks(name) for name in LAYOUTS}
    pairs = {36: 60, 39: 64, 42: 68, 45: 72, 30: 54, 33: 57, 48: 76, 54: 82, 51: 79, 57: 85, 60: 88, 64: 92, 8: 16}
    np.testing.assert_allclose(marks["68"][list(pairs)], marks["98"][list(pairs.values())], atol=1e-9)
    pairs = {36: 8, 39: 10, 42: 11, 45: 9, 30: 20, 33: 21, 48: 22, 54: 23, 51: 24, 62: 25, 66: 26, 57: 27, 8: 28}
    np.testing.assert_allclose(marks["68"][list(pairs)], marks["29"][list(pairs.values())], atol=1e-9)
    np.testing.assert_allclose(marks["98"][[96, 97]], marks["29"][[16, 17]], atol=1e-9)


def test_landmarks_lie_in_the_order_of_the_layout():
    marks = get_truth(turned(draw_parameters(8), yaw=0, pitch=0, roll=0)).landmarks("68")[:, :2]
    assert np.all(np.diff(marks[0:17, 0]) > 0)  # the jaw runs from the image's left to its right
    assert np.all(np.diff(marks[17:27, 0]) > 0)
    assert marks[8, 1] == marks[:, 1].max()  # the chin
    assert np.all(np.diff(marks[27:31, 1]) > 0)
    for upper, lower in ((37, 41), (38, 40), (43, 47), (44, 46), (51, 62), (62, 66), (66, 57)):
        assert marks[upper, 1] <= marks[lower, 1] + 1e-9


# --------------------------------------------------------------------------------------------------------- mirror


@pytest.mark.parametrize("seed", range(8))
def test_mirrored_parameters_give_partner_points(seed):
    parameters = draw_parameters(seed)
    truth, mirrored = get_truth(parameters), get_truth(parameters.mirror())
    for name, layout in LAYOUTS.items():
        flipped = mirrored.landmarks(name)[list(layout.partners), :2]
        flipped[:, 0] = 1 - flipped[:, 0]
        np.testing.assert_allclose(flipped, truth.landmarks(name)[:, :2], atol=2e-4)  # 0.05 pixels of 256
    assert parameters.mirror().mirror().pose.x == pytest.approx(parameters.pose.x)


@pytest.mark.parametrize("seed", [1, 6, 21])
def test_mirrored_parameters_give_the_mirrored_image(seed):
    parameters = plain(draw_parameters(seed))
    image = render_parameters(parameters, 128).image.astype(float)
    mirrored = render_parameters(parameters.mirror(), 128).image[:, ::-1].astype(float)
    assert np.abs(image - mirrored).mean() < 2.5
    assert np.abs(image - mirrored).mean() < 0.15 * np.abs(image - image[:, ::-1]).mean()


# ------------------------------------------------------------------------------------------- camera and visibility


def test_rotation_of_known_vectors():
    ahead = np.array([0, 0, 1.0])
    assert (rotation(30, 0, 0) @ ahead)[0] == pytest.approx(0.5)  # to the image's right
    assert (rotation(0, 30, 0) @ ahead)[1] == pytest.approx(-0.5)  # upwards
    np.testing.assert_allclose(rotation(0, 0, 90) @ [1, 0, 0], [0, 1, 0], atol=1e-12)


def test_projection_of_known_points():
    camera = Camera(np.eye(3), distance=8.0, scale=0.2, x=0.5, y=0.4)
    points = PIVOT + [[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 0, 4]]
    expected = [[0.5, 0.4, 0], [0.7, 0.4, 0], [0.5, 0.6, 0], [0.9, 0.4, 4]]  # half as far away: twice as large
    np.testing.assert_allclose(camera.project(camera.to_camera(points)), expected, atol=1e-12)


def test_points_that_are_turned_away_or_occluded_are_not_visible():
    parameters = plain(draw_parameters(4))
    ahead = render_parameters(turned(parameters, yaw=0, pitch=0, roll=0))
    assert ahead.visible()[17:].all()
    aside = render_parameters(turned(parameters, yaw=58, pitch=0, roll=0)).visible()
    assert not aside[[16, 26, 45]].all() and aside[[36, 39, 48, 31]].all()
    parameters.appearance.mask = True
    masked = render_parameters(turned(parameters, yaw=0, pitch=0, roll=0))
    assert not masked.visible()[48:].any() and masked.visible()[36:48].all() and "occlusion" in masked.subsets
    assert not masked.contours()["mouth upper lip outer"][1].any()
    assert not masked.anchors()["mouth left outer corner"][1]


def test_subsets_are_those_of_the_data_set():
    known = set(DATASETS["synthetic"].subsets["test"]) - {"full"}
    found = {name for seed in range(200) for name in get_subsets(draw_parameters(seed))}
    assert found == known


def test_official_counts_of_the_test_subsets():
    dataset = DATASETS["synthetic"]
    first, counts = SYNTHETIC_SEEDS["test"], dict.fromkeys(dataset.subsets["test"], 0)
    for seed in range(first, first + dataset.subsets["test"]["full"]):
        for name in ("full", *get_subsets(draw_parameters(seed))):
            counts[name] += 1
    assert counts == dataset.subsets["test"]


# ------------------------------------------------------------------------------------------------------- the parts


def test_the_mesh_lies_at_its_frontal_coordinates():
    head = Head(draw_parameters(3))
    x, y = np.meshgrid(np.linspace(-0.6, 0.6, 7), np.linspace(-1.2, 1.2, 9))
    points = np.stack([x.ravel(), y.ravel()], axis=-1)
    np.testing.assert_allclose(head.to_surface(points)[:, :2], points, atol=2e-3)  # the mesh's cells are flat


def test_fragments_of_a_flat_surface():
    """A rectangle of known corners: its pixels, and their grid coordinates."""
    u, v = np.meshgrid(np.arange(5.0), np.arange(4.0))
    screen = np.stack([10 + 6 * u, 8 + 9 * v, 0 * u], axis=-1).astype(np.float32)  # 24 x 27 pixels
    fragments = rasterise(screen, 64)
    rows, columns = np.divmod(fragments.pixels, 64)
    inside = (columns >= 10) & (columns <= 34) & (rows >= 8) & (rows <= 35)
    assert inside.sum() == len(inside) == 25 * 28
    np.testing.assert_allclose(fragments.u[inside], (columns[inside] - 10) / 6, atol=1 / 64)  # OpenCV counts in 32nds
    np.testing.assert_allclose(fragments.v[inside], (rows[inside] - 8) / 9, atol=1 / 64)
    assert not len(rasterise(screen[:, ::-1].copy(), 64).pixels)  # the back
