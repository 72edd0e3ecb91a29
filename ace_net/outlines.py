"""Anchors and contours of a face, as one array of points (ACE-Net, Sec. 3.1 and Table 3).

An outline is (OUTLINE, 2): first the anchors of config.ANCHORS, then CONTOUR_POINTS vertices of every contour
of CONTOURS, from the image's left to its right, the nose ridge's downwards. What is not known is NaN. A contour with
fewer vertices than places is known at landmarks only, one with all of them is known everywhere. So an outline moves and
mirrors as landmarks do, and one array serves targets, truth and predictions.
"""

import itertools

import numpy as np

from ace_net.config import CONTOUR_PARTS, CONTOUR_POINTS
from config import ANCHORS, CONTOURS
from face_datasets.layouts import SPARSE_LANDMARKS, Chain, ContourMap, Layout

OUTLINE = len(ANCHORS) + len(CONTOURS) * CONTOUR_POINTS
CURVES = ("line", "interp")  # how landmarks are joined: by straight lines, or by quadratic splines


def get_anchors(outline: np.ndarray) -> np.ndarray:
    """The anchors (..., 12, 2) of outlines (..., OUTLINE, 2)."""
    return outline[..., : len(ANCHORS), :]


def get_contours(outline: np.ndarray) -> np.ndarray:
    """The contours (..., 13, CONTOUR_POINTS, 2) of outlines (..., OUTLINE, 2)."""
    lines = outline[..., len(ANCHORS) :, :]
    return lines.reshape(*lines.shape[:-2], len(CONTOURS), CONTOUR_POINTS, 2)


def finite(line: np.ndarray) -> np.ndarray:
    """The vertices (n, 2) of a contour (CONTOUR_POINTS, 2) that are there."""
    return line[np.isfinite(line).all(axis=-1)]


def _mirror_name(name: str) -> str:
    swap = {"left": "right", "right": "left"}
    return " ".join(swap.get(word, word) for word in name.split())


def _places(name: str) -> list[int]:
    """Where an anchor or a contour lies in an outline."""
    if name in ANCHORS:
        return [ANCHORS.index(name)]
    first = len(ANCHORS) + CONTOURS.index(name) * CONTOUR_POINTS
    return list(range(first, first + CONTOUR_POINTS))


def _partners() -> tuple[int, ...]:
    """For each point of an outline the one that it becomes in the mirror image; contours change their direction."""
    partners = []
    for name in (*ANCHORS, *CONTOURS):
        places = _places(_mirror_name(name))
        partners += places if name == "nose ridge" else places[::-1]
    return tuple(partners)


OUTLINE_LAYOUT = Layout(
    points=OUTLINE,
    partners=_partners(),
    normalisers={
        "inter-ocular": ((ANCHORS.index("left eye outer corner"),), (ANCHORS.index("right eye outer corner"),))
    },
    parts={
        part: tuple(i for name in (*ANCHORS, *CONTOURS) if name.startswith(starts) for i in _places(name))
        for part, starts in CONTOUR_PARTS.items()
    },
    chains=tuple(Chain(name, tuple(_places(name))) for name in CONTOURS),
    corners=tuple(range(len(ANCHORS))),
    sampled=True,
)


# --------------------------------------------------------------------------------------------------------------------
# From landmarks
# --------------------------------------------------------------------------------------------------------------------


def get_contour_map(layout: Layout) -> ContourMap:
    """The layout's contour map.

    Raises:
        ValueError: it has none.
    """
    if layout.contour_map is None:
        raise ValueError(
            f"these landmarks draw no contours of ACE-Net. Received {layout.points}; 68 or 98 would be right"
        )
    return layout.contour_map


def from_landmarks(landmarks: np.ndarray, contour_map: ContourMap) -> np.ndarray:
    """What landmarks (n, points, 2) say of anchors and contours: outlines (n, OUTLINE, 2), their contours known at the
    landmarks only."""
    outlines = np.full((len(landmarks), OUTLINE, 2), np.nan)
    for name, index in contour_map.anchors.items():
        outlines[:, _places(name)[0]] = landmarks[:, index]
    for name, line in contour_map.contours.items():
        for place, vertex in zip(_places(name), line, strict=False):
            outlines[:, place] = landmarks[:, list(vertex)].mean(axis=1)
    for outline, face in zip(outlines, landmarks, strict=True):
        level = _derotate(face, contour_map.rings)
        for ring, lines, ends in _placed(level, contour_map.rings):
            _split_ring(outline, face[list(ring)], level[list(ring)], lines, ends)
    return outlines


def _derotate(face: np.ndarray, rings) -> np.ndarray:
    """A face (points, 2) turned so that the line between the middles of its eyes is level, the image's left one left;
    as it is where the rings are not those of two eyes."""
    eyes = [face[list(ring)].mean(axis=0) for ring, lines, _ in rings if " eye " in f" {lines[0]}"]
    if len(eyes) != 2:
        return face
    left, right = sorted(eyes, key=lambda eye: eye[0])
    along = (right - left) / np.linalg.norm(right - left)
    return face @ np.stack([along, [-along[1], along[0]]], axis=-1)


def _placed(level: np.ndarray, rings) -> list:
    """The rings with the names that fit this level face: of two that mirror each other, the left one lies to the
    left."""
    placed = []
    for ring, lines, ends in rings:
        other = tuple(map(_mirror_name, lines))
        mirrored = [points for points, names, _ in rings if names == other and names != lines]
        if mirrored:
            left, right = sorted([ring, mirrored[0]], key=lambda points: level[list(points), 0].mean())
            ring = left if lines[0].startswith("left") else right
        placed.append((ring, lines, ends))
    return placed


def _split_ring(
    outline: np.ndarray, ring: np.ndarray, level: np.ndarray, lines: tuple[str, str], ends: tuple[str, str]
) -> None:
    """Cuts a closed line (n, 2), given as it is and level, at its left and right end, and enters what it consists
    of."""
    left, right = int(np.argmin(level[:, 0])), int(np.argmax(level[:, 0]))
    halves = [_between(len(ring), left, right), _between(len(ring), right, left)[::-1]]
    for name, half in zip(lines, sorted(halves, key=lambda half: level[half, 1].mean()), strict=True):
        if name:
            outline[_places(name)[: len(half)]] = ring[half][:CONTOUR_POINTS]
    for name, end in zip(ends, (left, right), strict=True):
        if name:
            outline[_places(name)[0]] = ring[end]


def _between(count: int, first: int, last: int) -> np.ndarray:
    """The indices of a ring of `count` points from `first` on to `last`, both included."""
    return (first + np.arange((last - first) % count + 1)) % count


def join_landmarks(landmarks: np.ndarray, layout: Layout, curve: str, sparse: bool = False) -> np.ndarray:
    """Landmarks (n, points, 2) of a layout joined to anchors and contours: (n, OUTLINE, 2).

    Args:
        curve, sparse: as `joined` and `get_outlines` take them.

    Raises:
        ValueError: an unknown curve, or landmarks that draw no contours.
    """
    contour_map = get_contour_map(layout)
    return interpolate(
        from_landmarks(landmarks, contour_map.sparse(SPARSE_LANDMARKS) if sparse else contour_map), curve
    )


def interpolate(outlines: np.ndarray, curve: str) -> np.ndarray:
    """Outlines (n, OUTLINE, 2) whose contours are drawn through their vertices, all their places taken.

    Args:
        curve: "line" joins vertices by straight lines, whose corners stay; "interp" by a quadratic spline.

    Raises:
        ValueError: no such curve.
    """
    if curve not in CURVES:
        raise ValueError(f"unknown curve. Received {curve!r}; known: {', '.join(CURVES)}")
    drawn = np.array(outlines)
    for line in itertools.chain.from_iterable(get_contours(drawn)):  # a view, so it writes into `drawn`
        points = finite(line)
        if len(points) > 1:
            line[:] = _drawn(points, curve)
    return drawn


def _drawn(points: np.ndarray, curve: str) -> np.ndarray:
    """A curve through points (n, 2) as a line of CONTOUR_POINTS: the points themselves, and others where they are
    farthest apart. A spline is parametrised by the length of the chords; of two points it is a line."""
    from scipy.interpolate import make_interp_spline

    chords = np.linalg.norm(np.diff(points, axis=0), axis=-1)
    at = np.append(0, np.cumsum(chords))
    pieces = np.ones(len(chords), int)
    for _ in range(CONTOUR_POINTS - len(points)):
        pieces[np.argmax(chords / pieces)] += 1
    parts = [begin + chord * np.arange(count) / count for begin, chord, count in zip(at, chords, pieces, strict=False)]
    places = np.concatenate([*parts, at[-1:]])
    apart = np.append(True, chords > 0)
    if curve == "line" or apart.sum() < 3:
        return np.stack([np.interp(places, at, points[:, axis]) for axis in (0, 1)], axis=-1)
    return make_interp_spline(at[apart], points[apart], k=2)(places)


def resample(line: np.ndarray, count: int = CONTOUR_POINTS) -> np.ndarray:
    """`count` points (count, 2), evenly along a line (n, 2); its ends stay."""
    at = np.append(0, np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=-1)))
    even = np.linspace(0, at[-1], count)
    return np.stack([np.interp(even, at, line[:, axis]) for axis in (0, 1)], axis=-1)


# --------------------------------------------------------------------------------------------------------------------
# Of prepared faces
# --------------------------------------------------------------------------------------------------------------------


def to_entry(outline: np.ndarray, decimals: int) -> dict:
    """An outline as JSON has it: {"anchors": {name: [x, y] or null}, "contours": {name: [[x, y], ...]}}."""
    anchors = [None if np.isnan(place).any() else place.round(decimals).tolist() for place in get_anchors(outline)]
    lines = [finite(line).round(decimals).tolist() for line in get_contours(outline)]
    return {"anchors": dict(zip(ANCHORS, anchors, strict=True)), "contours": dict(zip(CONTOURS, lines, strict=True))}
