"""Outlines: the anchors and contours of a face as one array of points (ACE-Net, Sec. 3.1 and Table 3).

An outline is (OUTLINE, 2): first the anchors of config.ANCHORS, then CONTOUR_POINTS vertices of each contour of
config.CONTOURS, from the image's left to its right, of the nose ridge downwards. Unknown points are NaN. A contour with
fewer than CONTOUR_POINTS vertices is known at landmarks only, one with all of them is known everywhere. Outlines are
transformed and mirrored as landmarks are, and the same array serves targets, truth and predictions.
"""

import itertools

import numpy as np

from ace_net.config import CONTOUR_PARTS, CONTOUR_POINTS
from config import ANCHORS, CONTOURS
from face_datasets.layouts import SPARSE_LANDMARKS, Chain, ContourMap, Layout

OUTLINE = len(ANCHORS) + len(CONTOURS) * CONTOUR_POINTS
CURVES = ("line", "interp")  # how landmarks are joined: by straight lines, or by quadratic splines


def get_anchors(outline: np.ndarray) -> np.ndarray:
    """Return the anchors (..., 12, 2) of outlines (..., OUTLINE, 2)."""
    return outline[..., : len(ANCHORS), :]


def get_contours(outline: np.ndarray) -> np.ndarray:
    """Return the contours (..., 13, CONTOUR_POINTS, 2) of outlines (..., OUTLINE, 2)."""
    lines = outline[..., len(ANCHORS) :, :]
    return lines.reshape(*lines.shape[:-2], len(CONTOURS), CONTOUR_POINTS, 2)


def finite(points: np.ndarray) -> np.ndarray:
    """Return the points (n, 2) of an array (m, 2) that are not NaN."""
    return points[np.isfinite(points).all(axis=-1)]


def _mirror_name(name: str) -> str:
    swap = {"left": "right", "right": "left"}
    return " ".join(swap.get(word, word) for word in name.split())


def _indices(name: str) -> list[int]:
    """Return the indices of an anchor's or a contour's points in an outline."""
    if name in ANCHORS:
        return [ANCHORS.index(name)]
    first = len(ANCHORS) + CONTOURS.index(name) * CONTOUR_POINTS
    return list(range(first, first + CONTOUR_POINTS))


def _partners() -> tuple[int, ...]:
    """Return the point that each point of an outline becomes in the mirror image; contours change their direction."""
    partners = []
    for name in (*ANCHORS, *CONTOURS):
        indices = _indices(_mirror_name(name))
        partners += indices if name == "nose ridge" else indices[::-1]
    return tuple(partners)


OUTLINE_LAYOUT = Layout(
    points=OUTLINE,
    partners=_partners(),
    normalisers={
        "inter-ocular": ((ANCHORS.index("left eye outer corner"),), (ANCHORS.index("right eye outer corner"),))
    },
    parts={
        part: tuple(i for name in (*ANCHORS, *CONTOURS) if name.startswith(prefixes) for i in _indices(name))
        for part, prefixes in CONTOUR_PARTS.items()
    },
    chains=tuple(Chain(name, tuple(_indices(name))) for name in CONTOURS),
    corners=tuple(range(len(ANCHORS))),
    sampled=True,
)


# --------------------------------------------------------------------------------------------------------------------
# From landmarks
# --------------------------------------------------------------------------------------------------------------------


def get_contour_map(layout: Layout) -> ContourMap:
    """Return the contour map of a layout.

    Raises:
        ValueError: it has none.
    """
    if layout.contour_map is None:
        raise ValueError(f"contours of ACE-Net need landmarks that define them. Received {layout.points}; 68 or 98 do")
    return layout.contour_map


def from_landmarks(landmarks: np.ndarray, contour_map: ContourMap) -> np.ndarray:
    """Return outlines (n, OUTLINE, 2) whose contours are known at landmarks (n, points, 2) only."""
    outlines = np.full((len(landmarks), OUTLINE, 2), np.nan)
    for name, landmark in contour_map.anchors.items():
        outlines[:, _indices(name)[0]] = landmarks[:, landmark]
    for name, line in contour_map.contours.items():
        for index, vertex in zip(_indices(name), line, strict=False):
            outlines[:, index] = landmarks[:, list(vertex)].mean(axis=1)
    for outline, face in zip(outlines, landmarks, strict=True):
        level = _derotate(face, contour_map.rings)
        for ring, lines, ends in _assign_sides(level, contour_map.rings):
            _split_ring(outline, face[list(ring)], level[list(ring)], lines, ends)
    return outlines


def _derotate(face: np.ndarray, rings) -> np.ndarray:
    """Return a face (points, 2) rotated so that the line between the centres of its eyes is level.

    The image's left eye stays on the left. If the rings are not those of two eyes the face is returned as it is.
    """
    eyes = [face[list(ring)].mean(axis=0) for ring, lines, _ in rings if " eye " in f" {lines[0]}"]
    if len(eyes) != 2:
        return face
    left, right = sorted(eyes, key=lambda eye: eye[0])
    along = (right - left) / np.linalg.norm(right - left)
    return face @ np.stack([along, [-along[1], along[0]]], axis=-1)


def _assign_sides(level: np.ndarray, rings) -> list:
    """Return the rings with the names that fit a level face: of two mirrored ones, "left" is that on the left."""
    assigned = []
    for ring, lines, ends in rings:
        other = tuple(map(_mirror_name, lines))
        mirrored = [points for points, names, _ in rings if names == other and names != lines]
        if mirrored:
            left, right = sorted([ring, mirrored[0]], key=lambda points: level[list(points), 0].mean())
            ring = left if lines[0].startswith("left") else right
        assigned.append((ring, lines, ends))
    return assigned


def _split_ring(
    outline: np.ndarray, ring: np.ndarray, level: np.ndarray, lines: tuple[str, str], ends: tuple[str, str]
) -> None:
    """Split a closed line at its left and right end, and enter its halves and ends into an outline.

    Args:
        outline: (OUTLINE, 2), changed in place.
        ring: (n, 2), the closed line.
        level: (n, 2), the same of the level face, which decides what is left, right and above.
        lines: names of the contours of the upper and lower half; "" for none.
        ends: names of the anchors of the left and right end; "" for none.
    """
    left, right = int(np.argmin(level[:, 0])), int(np.argmax(level[:, 0]))
    halves = [_between(len(ring), left, right), _between(len(ring), right, left)[::-1]]
    for name, half in zip(lines, sorted(halves, key=lambda half: level[half, 1].mean()), strict=True):
        if name:
            outline[_indices(name)[: len(half)]] = ring[half][:CONTOUR_POINTS]
    for name, end in zip(ends, (left, right), strict=True):
        if name:
            outline[_indices(name)[0]] = ring[end]


def _between(count: int, first: int, last: int) -> np.ndarray:
    """Return the indices of a ring of `count` points from `first` to `last`, both included."""
    return (first + np.arange((last - first) % count + 1)) % count


def join_landmarks(landmarks: np.ndarray, layout: Layout, curve: str, sparse: bool = False) -> np.ndarray:
    """Return outlines (n, OUTLINE, 2) whose contours run through landmarks (n, points, 2).

    Args:
        layout: of the landmarks.
        curve: one of CURVES, see `interpolate`.
        sparse: join the 36 landmarks of SPARSE_LANDMARKS only, for layouts of 68; default: all.

    Raises:
        ValueError: an unknown curve, or landmarks that define no contours.
    """
    contour_map = get_contour_map(layout)
    contour_map = contour_map.sparse(SPARSE_LANDMARKS) if sparse else contour_map
    return interpolate(from_landmarks(landmarks, contour_map), curve)


def interpolate(outlines: np.ndarray, curve: str) -> np.ndarray:
    """Return outlines (n, OUTLINE, 2) whose contours run through their known vertices and have all CONTOUR_POINTS.

    Args:
        curve: "line" joins vertices by straight lines and keeps every vertex; "interp" by a quadratic spline.

    Raises:
        ValueError: an unknown curve.
    """
    if curve not in CURVES:
        raise ValueError(f"unknown curve. Received {curve!r}; known: {', '.join(CURVES)}")
    drawn = np.array(outlines)
    for line in itertools.chain.from_iterable(get_contours(drawn)):  # a view, so it writes into `drawn`
        points = finite(line)
        if len(points) > 1:
            line[:] = _draw_curve(points, curve)
    return drawn


def _draw_curve(points: np.ndarray, curve: str) -> np.ndarray:
    """Return CONTOUR_POINTS points of a curve through points (n, 2): these, and others where they are farthest apart.

    A spline is parametrised by the length of the chords; of two points it is a line.
    """
    from scipy.interpolate import make_interp_spline

    chords = np.linalg.norm(np.diff(points, axis=0), axis=-1)
    at = np.append(0, np.cumsum(chords))  # parameters of the points
    counts = np.ones(len(chords), int)  # equal parts of each chord
    for _ in range(CONTOUR_POINTS - len(points)):
        counts[np.argmax(chords / counts)] += 1
    parts = [begin + chord * np.arange(count) / count for begin, chord, count in zip(at, chords, counts, strict=False)]
    parameters = np.concatenate([*parts, at[-1:]])
    distinct = np.append(True, chords > 0)
    if curve == "line" or distinct.sum() < 3:
        return np.stack([np.interp(parameters, at, points[:, axis]) for axis in (0, 1)], axis=-1)
    return make_interp_spline(at[distinct], points[distinct], k=2)(parameters)


def resample(line: np.ndarray, count: int = CONTOUR_POINTS) -> np.ndarray:
    """Return `count` points (count, 2) evenly along a line (n, 2), its ends included."""
    at = np.append(0, np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=-1)))
    even = np.linspace(0, at[-1], count)
    return np.stack([np.interp(even, at, line[:, axis]) for axis in (0, 1)], axis=-1)


# --------------------------------------------------------------------------------------------------------------------
# JSON
# --------------------------------------------------------------------------------------------------------------------


def to_entry(outline: np.ndarray, decimals: int) -> dict:
    """Return an outline as JSON has it: {"anchors": {NAME: [x, y] or null}, "contours": {NAME: [[x, y], ...]}}."""
    anchors = [None if np.isnan(point).any() else point.round(decimals).tolist() for point in get_anchors(outline)]
    lines = [finite(line).round(decimals).tolist() for line in get_contours(outline)]
    return {"anchors": dict(zip(ANCHORS, anchors, strict=True)), "contours": dict(zip(CONTOURS, lines, strict=True))}
