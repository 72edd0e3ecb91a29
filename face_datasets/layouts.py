"""Landmark layouts: what the points of a data set are, and where ACE-Net's anchors and contours run through them.

Facts only: mirror partners, normalisers, parts, curves and corner points of 68, 29, 98, 19, 96 (those of FRL's 189 that
are used) and 194 landmarks. Indices count from 0; "left" and "right" are those of the image.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from config import ANCHORS, CONTOURS


@dataclass(frozen=True)
class Chain:
    """One curve of a face.

    Args:
        name: of the curve.
        indices: landmarks in drawing order.
        closed: whether the curve returns to its first landmark.
    """

    name: str
    indices: tuple[int, ...]
    closed: bool = False

    @property
    def path(self) -> list[int]:
        """The indices as a line visits them; a closed chain ends at its first one."""
        return [*self.indices, *self.indices[:1]] if self.closed else list(self.indices)


@dataclass(frozen=True)
class ContourMap:
    """Where the landmarks of a layout lie on ACE-Net's anchors and contours; those that are not annotated are absent.

    Args:
        anchors: anchor -> its landmark.
        contours: contour -> its vertices from the image's left to its right, the nose ridge's downwards; a vertex is a
            landmark, or the middle of several.
        rings: for sets that do not publish the order within a part: (landmarks of a closed curve, names of its upper
            and lower contour, names of its left and right anchor), "" for those that ACE-Net does not have. Each end is
            the landmark farthest along the line between the eyes, and the two contours lie between the ends.
    """

    anchors: dict[str, int]
    contours: dict[str, tuple[tuple[int, ...], ...]]
    rings: tuple[tuple[tuple[int, ...], tuple[str, str], tuple[str, str]], ...] = ()

    def sparse(self, kept: tuple[int, ...]) -> "ContourMap":
        """Return the map of some of the landmarks, with their old indices."""
        contours = {name: tuple(v for v in line if set(v) <= set(kept)) for name, line in self.contours.items()}
        return ContourMap({name: i for name, i in self.anchors.items() if i in kept}, contours)


@dataclass(frozen=True)
class Layout:
    """A landmark layout: 0-based indices, "left" and "right" as seen in the image.

    Args:
        points: number of landmarks.
        partners: the landmark that each landmark becomes in the mirror image.
        normalisers: name -> two groups of landmarks; the distance between the two groups' means divides the error.
        parts: facial parts with an error of their own.
        chains: the curves.
        corners: points that annotators can place exactly (no direction of uncertainty): corners of eyes and mouth,
            pupils (but AFLW's eye centres lie on their lines), and a tip of the nose that lies on no curve.
        contour_map: where the landmarks lie on ACE-Net's anchors and contours; None where too few of them do.
        sampled: whether the chains are densely sampled curves, so that only corners are drawn as dots.
    """

    points: int
    partners: tuple[int, ...]
    normalisers: dict[str, tuple[tuple[int, ...], tuple[int, ...]]]
    parts: dict[str, tuple[int, ...]]
    chains: tuple[Chain, ...]
    corners: tuple[int, ...]
    contour_map: ContourMap | None = None
    sampled: bool = False

    @property
    def dots(self) -> list[int]:
        """The points that are drawn as dots."""
        return list(self.corners if self.sampled else range(self.points))

    @property
    def neighbours(self) -> tuple[tuple[int, int], ...]:
        """For each landmark two others, (before, after), whose difference is the tangent of its curve.

        They are those before and after it on its chain; at an open end the landmark itself replaces the missing one. A
        landmark on no chain, or a corner on more than one, has no tangent and is given twice.

        Raises:
            ValueError: a landmark that is not a corner lies on more than one chain, so that its tangent is not defined.
        """
        found = {index: [] for index in range(self.points)}
        for chain in self.chains:
            ends = (chain.indices[-1], chain.indices[0]) if chain.closed else (chain.indices[0], chain.indices[-1])
            path = (ends[0], *chain.indices, ends[1])
            for before, index, after in zip(path, path[1:], path[2:], strict=False):
                found[index].append((before, after))
        for index, pairs in found.items():
            if len(pairs) > 1 and index not in self.corners:
                raise ValueError(f"landmark {index} has no unique tangent. Received {len(pairs)} chains; expected 1")
        return tuple(pairs[0] if len(pairs) == 1 else (index, index) for index, pairs in found.items())


def _contour_map(
    anchors: Sequence[int | None], contours: Sequence[Sequence[int | tuple[int, ...]]], rings: tuple = ()
) -> ContourMap:
    """Return a map from rows in the order of config.ANCHORS and config.CONTOURS.

    Args:
        anchors: the landmark of each anchor, None where it is not annotated.
        contours: vertices of each contour, none where it is not annotated.
        rings: as in ContourMap.
    """
    return ContourMap(
        {name: landmark for name, landmark in zip(ANCHORS, anchors, strict=True) if landmark is not None},
        {
            name: tuple(vertex if isinstance(vertex, tuple) else (vertex,) for vertex in line)
            for name, line in zip(CONTOURS, contours, strict=True)
            if line
        },
        rings,
    )


def _partners(points: int, *mirrored: tuple[int, ...]) -> tuple[int, ...]:
    """Return the partner of every point: groups are read backwards in the mirror image, other points stay."""
    partner = list(range(points))
    for group in mirrored:
        for index, other in zip(group, reversed(group), strict=True):
            partner[index] = other
    return tuple(partner)


def _span(first: int, last: int) -> tuple[int, ...]:
    """Return the indices first..last, both included, as data-set papers write them."""
    return tuple(range(first, last + 1))


LAYOUT_68 = Layout(
    points=68,
    partners=_partners(
        68,
        _span(0, 16),
        _span(17, 26),
        _span(31, 35),
        (36, 37, 38, 39, 42, 43, 44, 45),
        (41, 40, 47, 46),
        _span(48, 54),
        (59, 58, 57, 56, 55),
        _span(60, 64),
        (67, 66, 65),
    ),
    normalisers={
        "inter-ocular": ((36,), (45,)),
        "inter-pupil": (_span(36, 41), _span(42, 47)),
    },
    parts={
        "jaw": _span(0, 16),
        "brows": _span(17, 26),
        "nose": _span(27, 35),
        "eyes": _span(36, 47),
        "mouth": _span(48, 67),
    },
    chains=(
        Chain("jaw", _span(0, 16)),
        Chain("left brow", _span(17, 21)),
        Chain("right brow", _span(22, 26)),
        Chain("nose ridge", _span(27, 30)),
        Chain("nose base", _span(31, 35)),
        Chain("left eye", _span(36, 41), closed=True),
        Chain("right eye", _span(42, 47), closed=True),
        Chain("outer lip", _span(48, 59), closed=True),
        Chain("inner lip", _span(60, 67), closed=True),
    ),
    corners=(36, 39, 42, 45, 48, 54, 60, 64),
    contour_map=_contour_map(
        anchors=(42, 45, 39, 36, None, None, 30, 33, 54, 48, 64, 60),
        contours=(
            _span(22, 26),  # right eyebrow center-line
            _span(17, 21),  # left eyebrow center-line
            _span(42, 45),  # right eye upper lid
            (42, 47, 46, 45),  # right eye lower lid
            _span(36, 39),  # left eye upper lid
            (36, 41, 40, 39),  # left eye lower lid
            _span(27, 30),  # nose ridge
            _span(31, 35),  # nose bottom boundary
            _span(48, 54),  # mouth upper lip outer
            (48, 59, 58, 57, 56, 55, 54),  # mouth lower lip outer
            _span(60, 64),  # mouth upper lip inner
            (60, 67, 66, 65, 64),  # mouth lower lip inner
            _span(0, 16),  # chin boundary
        ),
    ),
)
# ACE-Net's sparse annotation. Its figure 7 (c) shows 36 of the 68 landmarks and cannot be read; these are the anchors,
# every second landmark of jaw and brows, and one landmark of each half of lids and lips; symmetric under mirroring.
SPARSE_LANDMARKS = (
    *range(0, 17, 2),
    *(17, 19, 21, 22, 24, 26),
    *(27, 30, 31, 33, 35),
    *(36, 37, 39, 40, 42, 44, 45, 47),
    *(48, 51, 54, 57, 60, 62, 64, 66),
)

LAYOUT_29 = Layout(
    points=29,
    partners=_partners(
        29, (0, 1), (2, 3), (4, 6), (5, 7), (8, 9), (10, 11), (12, 14), (13, 15), (16, 17), (18, 19), (22, 23)
    ),
    normalisers={"inter-ocular": ((8,), (9,)), "inter-pupil": ((16,), (17,))},
    parts={
        "brows": _span(0, 7),
        "eyes": _span(8, 17),
        "nose": _span(18, 21),
        "mouth": _span(22, 27),
        "chin": (28,),
    },
    chains=(
        Chain("left brow", (0, 4, 2, 5), closed=True),
        Chain("right brow", (3, 6, 1, 7), closed=True),
        Chain("left eye", (8, 12, 10, 13), closed=True),
        Chain("right eye", (11, 14, 9, 15), closed=True),
        Chain("nose base", (18, 21, 19)),
        Chain("outer lip", (22, 24, 23, 27), closed=True),
        Chain("inner lip", (22, 25, 23, 26), closed=True),
    ),
    corners=(8, 9, 10, 11, 16, 17, 20, 22, 23),
)

LAYOUT_98 = Layout(
    points=98,
    partners=_partners(
        98,
        _span(0, 32),
        _span(33, 37) + _span(42, 46),
        (41, 40, 39, 38, 50, 49, 48, 47),
        _span(55, 59),
        _span(60, 64) + _span(68, 72),
        (67, 66, 65, 75, 74, 73),
        _span(76, 82),
        (87, 86, 85, 84, 83),
        _span(88, 92),
        (95, 94, 93),
        (96, 97),
    ),
    normalisers={"inter-ocular": ((60,), (72,)), "inter-pupil": ((96,), (97,))},
    parts={
        "jaw": _span(0, 32),
        "brows": _span(33, 50),
        "nose": _span(51, 59),
        "eyes": _span(60, 75) + (96, 97),
        "mouth": _span(76, 95),
    },
    chains=(
        Chain("jaw", _span(0, 32)),
        Chain("left brow", _span(33, 41), closed=True),
        Chain("right brow", _span(42, 50), closed=True),
        Chain("nose ridge", _span(51, 54)),
        Chain("nose base", _span(55, 59)),
        Chain("left eye", _span(60, 67), closed=True),
        Chain("right eye", _span(68, 75), closed=True),
        Chain("outer lip", _span(76, 87), closed=True),
        Chain("inner lip", _span(88, 95), closed=True),
    ),
    corners=(60, 64, 68, 72, 76, 82, 88, 92, 96, 97),
    contour_map=_contour_map(
        anchors=(68, 72, 64, 60, 97, 96, 54, 57, 82, 76, 92, 88),
        contours=(
            ((42, 50), (43, 49), (44, 48), (45, 47), (46,)),  # right eyebrow center-line
            ((33,), (34, 41), (35, 40), (36, 39), (37, 38)),  # left eyebrow center-line
            _span(68, 72),  # right eye upper lid
            (68, 75, 74, 73, 72),  # right eye lower lid
            _span(60, 64),  # left eye upper lid
            (60, 67, 66, 65, 64),  # left eye lower lid
            _span(51, 54),  # nose ridge
            _span(55, 59),  # nose bottom boundary
            _span(76, 82),  # mouth upper lip outer
            (76, 87, 86, 85, 84, 83, 82),  # mouth lower lip outer
            _span(88, 92),  # mouth upper lip inner
            (88, 95, 94, 93, 92),  # mouth lower lip inner
            _span(0, 32),  # chin boundary
        ),
    ),
)

LAYOUT_19 = Layout(
    points=19,
    partners=_partners(19, _span(0, 5), _span(6, 11), _span(12, 14), _span(15, 17)),
    normalisers={"inter-ocular": ((6,), (11,)), "inter-pupil": ((7,), (10,))},
    parts={
        "brows": _span(0, 5),
        "eyes": _span(6, 11),
        "nose": _span(12, 14),
        "mouth": _span(15, 17),
        "chin": (18,),
    },
    chains=(  # of the boundary lines of Adaptive Wing Loss, those that 19 points can draw; both lips fall into one line
        Chain("left brow", _span(0, 2)),
        Chain("right brow", _span(3, 5)),
        Chain("left eye", _span(6, 8)),
        Chain("right eye", _span(9, 11)),
        Chain("nose base", _span(12, 14)),
        Chain("mouth", _span(15, 17)),
    ),
    corners=(6, 8, 9, 11, 15, 17),
)

# Templates of the Face Research Lab (.tem) have 189 points. Only those of the face itself are read: pupils, lids, nose,
# brows, lips, where the ears meet the face, jaw. Hair, neck, ears, folds and the irises' outlines are left out. These
# indices are the template's own; the layout counts the points that are read.
FRL_POINTS = 189
FRL_FACE = (
    *(0, 1, *_span(18, 33)),
    *_span(50, 114),
    *_span(125, 133),
    *_span(179, 182),
)


def _frl(*points: int) -> tuple[int, ...]:
    """Return the indices that points of the template have in the layout."""
    return tuple(FRL_FACE.index(point) for point in points)


LAYOUT_FRL = Layout(
    points=len(FRL_FACE),
    partners=_partners(
        len(FRL_FACE),
        _frl(0, 1),
        _frl(*_span(18, 27)),
        _frl(*_span(28, 33)),
        _frl(*_span(50, 54), *reversed(_span(56, 60))),
        _frl(*_span(61, 65), *reversed(_span(66, 70))),
        _frl(*_span(71, 82)),
        _frl(*_span(83, 86)),
        _frl(*_span(87, 93)),
        _frl(*_span(94, 98)),
        _frl(*_span(99, 103)),
        _frl(*_span(104, 108)),
        _frl(*_span(109, 111), *reversed(_span(112, 114))),
        _frl(*_span(125, 133)),
        _frl(*_span(179, 182)),
    ),
    normalisers={"inter-ocular": (_frl(18), _frl(27)), "inter-pupil": (_frl(0), _frl(1))},
    parts={
        "eyes": _frl(0, 1, *_span(18, 33)),
        "nose": _frl(*_span(50, 70), *_span(179, 182)),
        "brows": _frl(*_span(71, 86)),
        "mouth": _frl(*_span(87, 108)),
        "jaw": _frl(*_span(109, 114), *_span(125, 133)),
    },
    chains=(
        Chain("left eye", _frl(*_span(18, 22), 30, 29, 28), closed=True),
        Chain("right eye", _frl(*_span(23, 27), 33, 32, 31), closed=True),
        Chain("left brow", _frl(*_span(71, 76), 84, 83), closed=True),
        Chain("right brow", _frl(*_span(77, 82), 86, 85), closed=True),
        Chain("nose base", _frl(64, 180, 55, 181, 69)),
        Chain("outer lip", _frl(*_span(87, 93), *reversed(_span(104, 108))), closed=True),
        Chain("inner lip", _frl(*_span(94, 98), *reversed(_span(99, 103))), closed=True),
        Chain("jaw", _frl(*_span(125, 133))),
    ),
    corners=_frl(0, 1, 18, 22, 23, 27, 87, 93),
    # Left out: brows, of which only the edges are drawn; the nose's sides and ridge (two lines beside it, no tip); the
    # ears. Lips meet in one corner for the outer and the inner line, which is the outer one.
    contour_map=_contour_map(
        anchors=(*_frl(23, 27, 22, 18, 1, 0), None, *_frl(55, 93, 87), None, None),
        contours=(
            (),  # right eyebrow center-line
            (),  # left eyebrow center-line
            _frl(*_span(23, 27)),  # right eye upper lid
            _frl(23, 31, 32, 33, 27),  # right eye lower lid
            _frl(*_span(18, 22)),  # left eye upper lid
            _frl(18, 28, 29, 30, 22),  # left eye lower lid
            (),  # nose ridge
            _frl(64, 180, 55, 181, 69),  # nose bottom boundary
            _frl(*_span(87, 93)),  # mouth upper lip outer
            _frl(87, *_span(104, 108), 93),  # mouth lower lip outer
            _frl(*_span(94, 98)),  # mouth upper lip inner
            _frl(*_span(99, 103)),  # mouth lower lip inner
            _frl(*_span(125, 133)),  # chin boundary
        ),
    ),
)

# HELEN's own annotation. Which landmarks form a part is known; their order within it is not published, so that no
# landmark has a partner and outlines are cut in halves face by face. Brow edges and the nose's sides are left out, as
# in ACE-Net, Sec. 5.4.
LAYOUT_194 = Layout(
    points=194,
    partners=tuple(range(194)),
    normalisers={},
    parts={
        "jaw": _span(0, 40),
        "nose": _span(41, 57),
        "mouth": _span(58, 113),
        "eyes": _span(114, 153),
        "brows": _span(154, 193),
    },
    chains=(
        Chain("jaw", _span(0, 40)),
        Chain("nose", _span(41, 57)),
        Chain("outer lip", _span(58, 85), closed=True),
        Chain("inner lip", _span(86, 113), closed=True),
        Chain("first eye", _span(114, 133), closed=True),
        Chain("second eye", _span(134, 153), closed=True),
        Chain("first brow", _span(154, 173), closed=True),
        Chain("second brow", _span(174, 193), closed=True),
    ),
    corners=(),
    contour_map=_contour_map(
        anchors=(None,) * len(ANCHORS),
        contours=((),) * (len(CONTOURS) - 1) + (_span(0, 40),),  # chin boundary
        rings=(
            (_span(41, 57), ("", "nose bottom boundary"), ("", "")),
            (
                _span(58, 85),
                ("mouth upper lip outer", "mouth lower lip outer"),
                ("mouth left outer corner", "mouth right outer corner"),
            ),
            (
                _span(86, 113),
                ("mouth upper lip inner", "mouth lower lip inner"),
                ("mouth left inner corner", "mouth right inner corner"),
            ),
            (
                _span(114, 133),
                ("left eye upper lid", "left eye lower lid"),
                ("left eye outer corner", "left eye inner corner"),
            ),
            (
                _span(134, 153),
                ("right eye upper lid", "right eye lower lid"),
                ("right eye inner corner", "right eye outer corner"),
            ),
        ),
    ),
)
