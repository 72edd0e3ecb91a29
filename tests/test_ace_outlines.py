"""Outlines, heatmaps and extraction of ACE-Net."""

import numpy as np
import pytest
from annotation_files import tem_text

from ace_net.config import FAR
from ace_net.decode import decode_landmarks, extract, peaks
from ace_net.face_outlines import rendered_outline
from ace_net.metrics import distance_to_line
from ace_net.outlines import (
    OUTLINE_LAYOUT,
    finite,
    from_landmarks,
    get_anchors,
    get_contour_map,
    get_contours,
    interpolate,
    to_entry,
)
from ace_net.ridges import trace
from ace_net.targets import MAPS, encode_full, encode_weak, far_masks, full_targets, heatmaps, to_segments, weak_targets
from config import ANCHORS, CONTOURS
from face_datasets.catalogue import get_dataset
from face_datasets.layouts import FRL_FACE, FRL_POINTS, LAYOUT_68, LAYOUT_98, LAYOUT_194, LAYOUT_FRL, SPARSE_LANDMARKS
from face_datasets.readers import SkippedFace, read_part
from image_utility import mirror_landmarks, to_grid
from synthetic_faces.face import get_landmarks

SIDE = 128


@pytest.fixture(scope="module")
def rendered() -> np.ndarray:
    """Exact outlines (32, OUTLINE, 2) in the pixels of pictures of 256."""
    return np.stack([rendered_outline(seed) for seed in range(100, 132)]) * 256 - 0.5


@pytest.fixture(scope="module")
def landmarks() -> np.ndarray:
    """68 landmarks (32, 68, 2) of the same faces."""
    return np.stack([get_landmarks(seed) for seed in range(100, 132)]) * 256 - 0.5


@pytest.fixture(scope="module")
def heat(rendered) -> np.ndarray:
    return heatmaps(*to_segments(to_grid(rendered, 2)), (len(rendered), SIDE, SIDE, MAPS))


def brute_distance(line: np.ndarray, size: int = SIDE) -> np.ndarray:
    """Return the distance (size, size) of every pixel from the nearest segment of a line (n, 2)."""
    y, x = np.mgrid[:size, :size]
    pixels = np.stack([x, y], axis=-1).reshape(-1, 2).astype(float)
    return distance_to_line(pixels, line).reshape(size, size)


# ---------------------------------------------------------------------------------------------------------------------
# Outlines
# ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", [LAYOUT_68, LAYOUT_98, LAYOUT_FRL])
def test_a_mirrored_layout_draws_the_mirrored_outline(layout):
    points = np.random.default_rng(1).uniform(0, 100, (3, layout.points, 2))
    mirror = points * [-1, 1]
    one = from_landmarks(mirror_landmarks(mirror, layout.partners), get_contour_map(layout))
    other = mirror_landmarks(from_landmarks(points, get_contour_map(layout)) * [-1, 1], OUTLINE_LAYOUT.partners)
    np.testing.assert_allclose(get_anchors(one), get_anchors(other))
    for line, same in zip(get_contours(one).reshape(-1, 48, 2), get_contours(other).reshape(-1, 48, 2), strict=True):
        np.testing.assert_allclose(finite(line), finite(same))


def test_mirroring_an_outline_twice_changes_nothing():
    assert mirror_landmarks(np.arange(OUTLINE_LAYOUT.points)[:, None], OUTLINE_LAYOUT.partners)[:, 0].tolist() == list(
        OUTLINE_LAYOUT.partners
    )
    partners = np.array(OUTLINE_LAYOUT.partners)
    assert (partners[partners] == np.arange(len(partners))).all()


def test_contours_of_68_landmarks_run_from_left_to_right(landmarks):
    lines = get_contours(from_landmarks(landmarks, get_contour_map(LAYOUT_68)))
    for name, line in zip(CONTOURS, np.moveaxis(lines, 1, 0), strict=True):
        axis = 1 if name == "nose ridge" else 0
        first, last = line[:, 0, axis], np.array([finite(face)[-1, axis] for face in line])
        assert np.mean(first < last) > 0.9, name  # some faces are turned far


def test_anchors_lie_at_the_same_landmarks_as_the_renderers(rendered, landmarks):
    drawn = get_anchors(from_landmarks(landmarks, get_contour_map(LAYOUT_68)))
    np.testing.assert_array_equal(np.isnan(drawn).any(axis=(0, 2)), ["iris" in name for name in ANCHORS])
    irises = [i for i, name in enumerate(ANCHORS) if "iris" in name]
    error = np.linalg.norm(np.delete(drawn - get_anchors(rendered), irises, axis=1), axis=-1)
    assert error.max() < 0.1


def test_the_sparse_landmarks_are_36_their_own_mirror_and_hold_every_anchor():
    assert len(set(SPARSE_LANDMARKS)) == 36
    assert {LAYOUT_68.partners[i] for i in SPARSE_LANDMARKS} == set(SPARSE_LANDMARKS)
    assert set(LAYOUT_68.contour_map.anchors.values()) <= set(SPARSE_LANDMARKS)
    assert all(len(line) >= 2 for line in LAYOUT_68.contour_map.sparse(SPARSE_LANDMARKS).contours.values())


@pytest.mark.parametrize("curve", ["line", "interp"])
def test_lines_and_splines_keep_every_vertex(landmarks, curve):
    outlines = from_landmarks(landmarks[:2], get_contour_map(LAYOUT_68))
    outlines[1, 12:60] = np.nan
    outlines[1, 12:15] = [[3, 4], [3, 4], [7, 9]]  # two landmarks on each other
    before, after = (get_contours(some).reshape(-1, 48, 2) for some in (outlines, interpolate(outlines, curve)))
    for some, line in zip(before, after, strict=True):
        assert np.isfinite(line).all()
        assert distance_to_line(finite(some), line).max() < 1e-9


def test_a_quadratic_spline_draws_a_parabola_better_than_lines():
    x = np.linspace(-1, 1, 7)
    outlines = np.full((1, OUTLINE_LAYOUT.points, 2), np.nan)
    get_contours(outlines)[0, 12, :7] = np.stack([30 * x, 20 * x**2], axis=-1)
    fine = np.linspace(-1, 1, 200)
    truth = np.stack([30 * fine, 20 * fine**2], axis=-1)
    errors = {
        curve: distance_to_line(truth, get_contours(interpolate(outlines, curve))[0, 12]).mean()
        for curve in ("line", "interp")
    }
    assert errors["interp"] < 0.3 * errors["line"]


def test_brow_lines_of_wflw_lie_between_the_edges():
    points = np.zeros((1, 98, 2))
    points[0, 33:42] = [[0, 5], [10, 2], [20, 0], [30, 0], [40, 2], [40, 6], [30, 5], [20, 5], [10, 5]]
    line = finite(
        get_contours(from_landmarks(points, get_contour_map(LAYOUT_98)))[0, CONTOURS.index("left eyebrow center-line")]
    )
    np.testing.assert_allclose(line, [[0, 5], [10, 3.5], [20, 2.5], [30, 2.5], [40, 4]])


# ---------------------------------------------------------------------------------------------------------------------
# Heatmaps
# ---------------------------------------------------------------------------------------------------------------------


def test_heat_is_that_of_the_exact_distance(rendered, heat):
    grid = to_grid(rendered, 2)
    for face, contour in ((3, 12), (7, 2), (20, 9)):
        distance = brute_distance(get_contours(grid)[face, contour])
        np.testing.assert_allclose(heat[face, ..., 12 + contour], np.maximum(0, 1 - distance**2 / 2), atol=2e-5)
    for face, anchor in ((0, 0), (5, 6)):
        distance = brute_distance(get_anchors(grid)[face, anchor][None])
        np.testing.assert_allclose(heat[face, ..., anchor], np.maximum(0, 1 - distance**2 / 2), atol=2e-5)


def test_long_segments_and_lines_that_leave_the_map():
    segments = np.array([[[-30.0, 5.3], [60.2, 70.9]], [[60.2, 70.9], [300.0, 71.0]]])
    drawn = heatmaps(segments, np.array([0, 0]), (1, SIDE, SIDE, 1))[0, ..., 0]
    distance = brute_distance(np.concatenate([segments[0], segments[1, 1:]]))
    np.testing.assert_allclose(drawn, np.maximum(0, 1 - distance**2 / 2), atol=2e-5)
    mask = far_masks(segments, np.array([0, 0]), (1, SIDE, SIDE, 1))[0, ..., 0]
    sure = np.abs(distance - FAR) > 1e-4
    np.testing.assert_array_equal(mask[sure], (distance > FAR)[sure])


def test_irises_of_68_landmarks_are_not_annotated(landmarks):
    counted = full_targets(from_landmarks(landmarks[:1], get_contour_map(LAYOUT_68)), 256, 8).annotated[0]
    assert counted.tolist() == ["iris" not in name for name in (*ANCHORS, *CONTOURS)]


def test_contours_known_at_landmarks_only_are_weak(rendered, landmarks):
    mixed = np.stack([rendered[0], from_landmarks(landmarks[:1], get_contour_map(LAYOUT_68))[0]])
    targets = weak_targets(mixed, 256, 2)
    assert targets.annotated[0].all() and not targets.annotated[1, 12:].any()
    assert not targets.weak[0].any() and targets.weak[1].all()
    distance = brute_distance(finite(get_contours(to_grid(mixed[1], 2))[12]))
    sure = np.abs(distance - FAR) > 1e-4
    np.testing.assert_array_equal(targets.heat[1, ..., 24][sure], (distance > FAR)[sure])
    np.testing.assert_array_equal(targets.heat[0], full_targets(mixed[:1], 256, 2).heat[0])
    assert [len(part) for part in encode_full(mixed, 256)] == [2, 2, 2]
    np.testing.assert_array_equal(encode_weak(mixed, 256)[0], encode_full(mixed, 256)[0])


def test_a_single_vertex_is_no_contour(landmarks):
    outlines = from_landmarks(landmarks[:1], get_contour_map(LAYOUT_68))
    get_contours(outlines)[0, 5, 1:] = np.nan
    targets = weak_targets(outlines, 256, 2)
    assert targets.weak[0].tolist() == [1] * 5 + [0] + [1] * 7
    assert not targets.annotated[0, 12 + 5]


@pytest.mark.parametrize("make", [full_targets, weak_targets])
def test_packed_targets_come_back(rendered, landmarks, make):
    mixed = np.stack([rendered[0], from_landmarks(landmarks[:1], get_contour_map(LAYOUT_68))[0]])
    targets = make(mixed, 64, 8)
    packed = targets.pack()
    assert packed.dtype == np.float32 and packed.shape == (2, sum(field[0].size for field in targets))
    fields = type(targets).unpack(packed, (None, 8, 8, MAPS))
    for name, field in zip(targets._fields, fields, strict=True):
        np.testing.assert_array_equal(field, np.asarray(getattr(targets, name), np.float32), name)


# ---------------------------------------------------------------------------------------------------------------------
# Extraction
# ---------------------------------------------------------------------------------------------------------------------


def drawn_line(line: np.ndarray, sigma: int = 2) -> np.ndarray:
    segments = np.stack([line[:-1], line[1:]], axis=1)
    return heatmaps(segments, np.zeros(len(segments), int), (1, SIDE, SIDE, 1), sigma)[0, ..., 0]


def both_ways(line: np.ndarray, found: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the distances of the true line's points from the extracted one, and the other way round."""
    return distance_to_line(line, found), distance_to_line(found, line)


@pytest.mark.parametrize("sigma", [2, 3])
@pytest.mark.parametrize("radius", [15.0, 30.0, 55.0])
def test_extracted_arcs_are_right_to_a_tenth_of_a_pixel(radius, sigma):
    angle = np.linspace(0.3, 2.5, 300)
    line = np.array([63.3, 61.7]) + radius * np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    found = trace(drawn_line(line, sigma))
    for points, errors in zip((line, found), both_ways(line, found), strict=True):
        ends = np.linalg.norm(points[:, None] - line[[0, -1]], axis=-1).min(axis=1) < 2
        assert errors[~ends].mean() < 0.05 and errors[~ends].max() < 0.1
        # The ends are read as those of heat of sigma 2, which networks are taught; broader heat goes on longer
        assert errors.max() < (0.15 if sigma == 2 else 0.5)


@pytest.mark.parametrize("turn", np.linspace(0, np.pi, 8))
def test_a_line_is_as_long_as_it_was_drawn(turn):
    along = np.array([np.cos(turn), np.sin(turn)])
    line = np.array([64.2, 63.6]) + np.linspace(-30, 30, 50)[:, None] * along
    found = trace(drawn_line(line))
    assert np.ptp(found @ along) == pytest.approx(60, abs=0.25)


def test_most_of_a_face_is_right_to_a_tenth_of_a_pixel(rendered, heat):
    """Bends that are sharper than the filters, at the nose's bottom and the corners of the mouth, are cut short."""
    errors = {name: ([], []) for name in CONTOURS}
    for face, truth in zip(heat[:12], to_grid(rendered[:12], 2), strict=True):
        found = to_grid(extract(face), 2)
        for name, line, true in zip(CONTOURS, get_contours(found), get_contours(truth), strict=True):
            for points, other, kept in zip((true, line), (line, true), errors[name], strict=True):
                inside = ((points > 2) & (points < SIDE - 3)).all(axis=-1)
                kept.append(distance_to_line(points[inside], other))
        apart = np.linalg.norm(get_anchors(found) - get_anchors(truth), axis=-1)
        inside = ((get_anchors(truth) > 3) & (get_anchors(truth) < SIDE - 4)).all(axis=-1)
        assert apart[inside].max() < 0.15  # Eq. 12 sums whole pixels: 0.12 at heat of sigma 2, whatever the decoder
    for name, ways in errors.items():
        for of_faces in map(np.concatenate, ways):
            assert of_faces.mean() < 0.06 and np.quantile(of_faces, 0.9) < 0.1, name
            assert of_faces.max() < 0.7, name


@pytest.mark.parametrize("seed", range(4))
def test_a_gap_is_bridged_and_noise_is_not_taken_for_a_contour(seed):
    line = np.stack([np.linspace(10, 115, 200), 60 + 0.1 * np.linspace(10, 115, 200)], axis=-1)
    heat = drawn_line(line)
    heat[:, 50:58] = 0
    heat += np.random.default_rng(seed).normal(0, 0.02, heat.shape).astype(np.float32)
    found = trace(heat)
    for points, errors in zip((line, found), both_ways(line, found), strict=True):
        beside = np.abs(points[:, 0] - 53.5) < 14  # the gap's ends look like the ends of a line
        assert errors[~beside].mean() < 0.06 and np.quantile(errors[~beside], 0.95) < 0.12
        assert errors.max() < 0.6
    assert np.ptp(found[:, 0]) == pytest.approx(105, abs=1)  # nothing far from the line was joined


def test_an_empty_map_gives_no_contour_and_no_anchor():
    outline = extract(np.zeros((SIDE, SIDE, MAPS), np.float32))
    assert np.isnan(outline).all()
    assert set(to_entry(outline, 3)["anchors"].values()) == {None}


def test_centres_of_mass_of_landmark_maps(landmarks):
    maps = heatmaps(*(np.stack([p := to_grid(landmarks[0], 2), p], axis=1), np.arange(68)), (1, SIDE, SIDE, 68), 3)
    error = np.linalg.norm(decode_landmarks([None, None, maps], 256)[0] - landmarks[0], axis=-1) / 2
    assert error.max() < 0.1


def test_a_centre_of_mass_by_hand():
    heat = np.zeros((2, 5, 5), np.float32)
    heat[0, 2, 2], heat[0, 2, 3], heat[0, 1, 2], heat[0, 4, 2] = 4, 2, 1, 3  # the last lies 2 pixels away
    heat[0, 3, 3] = 3  # farther than 1 pixel, too
    heat[1, 0, 0], heat[1, 0, 1] = 1, -1  # at the border; below 0 counts nothing
    np.testing.assert_allclose(peaks(heat, 1), [[2 + 2 / 7, 2 - 1 / 7], [0, 0]])


# ---------------------------------------------------------------------------------------------------------------------
# Readers
# ---------------------------------------------------------------------------------------------------------------------


def test_templates_are_read(tmp_path):
    points = np.random.default_rng(3).uniform(0, 600, (FRL_POINTS, 2)).round(3)
    for name in ("001_03", "002_03"):
        (tmp_path / f"{name}.jpg").write_bytes(b"a picture, not opened yet")
        (tmp_path / f"{name}.tem").write_text(tem_text(points))
    (tmp_path / "002_03.tem").write_text("12\n")
    (tmp_path / "003_03.tem").write_text(tem_text(points, end=""))
    dataset = get_dataset("FRL")
    good, bad, alone = read_part(dataset, dataset.parts[0], tmp_path)
    np.testing.assert_array_equal(good.landmarks, points[list(FRL_FACE)])
    assert good.image == "001_03.jpg" and good.subsets == ("full",)
    assert isinstance(bad, SkippedFace) and "announces '12' points; expected 189" in bad.reason
    assert "no picture 003_03.jpg" in alone.reason


def helen_face() -> np.ndarray:
    """194 points: ellipses where HELEN has its outlines, begun anywhere."""

    def ring(x, y, width, height, count, start):
        angle = start + 2 * np.pi * np.arange(count) / count
        return np.stack([x + width * np.cos(angle), y + height * np.sin(angle)], axis=-1)

    jaw = np.pi * np.arange(41) / 40
    nose = np.pi * np.arange(17) / 16
    return np.concatenate(
        [
            np.stack([100 + 80 * np.cos(jaw), 100 + 90 * np.sin(jaw)], axis=-1),
            np.stack([100 + 20 * np.cos(nose), 120 + 10 * np.sin(nose)], axis=-1),
            ring(100, 155, 30, 12, 28, 1.0),
            ring(100, 155, 22, 5, 28, 4.0),
            ring(135, 90, 15, 7, 20, 2.0),  # the right one first: which comes first is not published
            ring(65, 90, 15, 7, 20, 0.5),
            ring(65, 70, 20, 4, 20, 0),
            ring(135, 70, 20, 4, 20, 0),
        ]
    )


def test_helen_is_read_and_its_outlines_are_cut_at_their_ends(tmp_path):
    (tmp_path / "annotation").mkdir()
    (tmp_path / "testset").mkdir()
    face = helen_face()
    rows = "\n".join(f"{x:.6f} , {y:.6f}" for x, y in face)
    (tmp_path / "testset" / "232194_1.jpg").write_bytes(b"a picture, not opened yet")
    (tmp_path / "testset" / "3.jpg").write_bytes(b"")
    (tmp_path / "annotation" / "1.txt").write_text(f"232194_1\n{rows}\n")
    (tmp_path / "annotation" / "2.txt").write_text(f"of_the_training_set\n{rows}\n")
    (tmp_path / "annotation" / "3.txt").write_text("3\n1 , 2\n")
    dataset = get_dataset("HELEN-194")
    good, bad = read_part(dataset, dataset.parts[0], tmp_path)
    assert good.image == "testset/232194_1.jpg" and "expected 194" in bad.reason
    outline = from_landmarks(good.landmarks[None], get_contour_map(LAYOUT_194))[0]
    anchors, lines = get_anchors(outline), dict(zip(CONTOURS, get_contours(outline), strict=True))
    for name, x in (("left eye outer corner", 50), ("left eye inner corner", 80), ("right eye outer corner", 150)):
        assert anchors[ANCHORS.index(name), 0] == pytest.approx(x, abs=0.8)
    assert anchors[ANCHORS.index("mouth left outer corner"), 0] == pytest.approx(70, abs=0.8)
    upper, lower = finite(lines["mouth upper lip outer"]), finite(lines["mouth lower lip outer"])
    assert upper[:, 1].mean() < 155 < lower[:, 1].mean() and len(upper) + len(lower) == 30
    assert finite(lines["nose bottom boundary"])[:, 1].max() == pytest.approx(130)
    assert len(finite(lines["chin boundary"])) == 41 and not len(finite(lines["left eyebrow center-line"]))


@pytest.mark.parametrize("degrees", [-35, 20])
def test_the_outlines_of_a_rolled_face_are_cut_at_the_same_landmarks(degrees):
    turn = np.radians(degrees)
    matrix = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    face = helen_face()
    upright, rolled = from_landmarks(np.stack([face, face @ matrix + [80, 40]]), get_contour_map(LAYOUT_194))
    np.testing.assert_allclose(rolled, upright @ matrix + [80, 40])
