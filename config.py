"""The facts of the project, as data: data sets, crops, networks, recipes.

Nothing here reads a file or imports Keras. Code elsewhere holds no facts of its own: a data set's points, partners and
normalisers, a network's head, a crop's padding and a recipe's rates are rows of the tables below.
"""

import enum
import types
from dataclasses import dataclass, field, replace

DATA_DIR = "data"  # the data root, unless --data-dir or --out says otherwise
WEIGHTS_DIR = "pre_trained_models"
PACKAGE = "acr"  # our own classes are registered with Keras under this name
RUNS_DIR = "runs"
BEST_FILE, LAST_FILE = "best.keras", "last.keras"  # weights of a run
SETTINGS_FILE, STATE_FILE, LOG_FILE, CURVES_FILE = "settings.json", "state.npz", "log.csv", "curves.png"
SNAPSHOTS_FILE = "snapshots.json"  # what a run made of one face in its first epochs
SNAPSHOT_EPOCHS = (0, 1, 2, 3)  # finished epochs after which it is kept, and after the last
STRIP_METHODS = ("wing", "anisotropic_loss")  # whose snapshots are drawn, from above
STRIP_PIXELS = 224  # side of a picture
SEED = 7
INDEX_VERSION = 1  # of index.json; raise it when its form changes
JOURNAL_FILE = "journal.jsonl"  # finished faces of a preparation
RECORDS_DIR, RECORDS_FILE = "records", "records.json"  # training faces to stream; the list of their files
RECORD_FACES = 1024  # in one file of records
LABEL_COPIES = 4  # moved copies of each training face in the normalised labels
METRICS_FILE, PREDICTIONS_FILE = "metrics.json", "predictions.json"  # of an evaluation
CONTOUR_TRUTH_FILE = "truth.json"  # the true anchors and contours beside them
PICTURE_SIZE = 256  # pixels; of the crops in pictures, where no network says
EVALUATED_SPLITS = ("test", "private", "validation")
VALIDATION_SHARE = 0.2  # of a part at most, where less than the whole part is there
LEAST_RENDER_SIZE = 32  # pixels
SYNTHETIC_SEEDS = types.MappingProxyType({"train": 0, "test": 1_000_000_000})  # of each split's first rendered face


def row_of(table: dict, name: str, kind: str):
    """The row of a table; `kind` says in the error what its rows are.

    Raises:
        ValueError: no such row.
    """
    if name not in table:
        raise ValueError(f"unknown {kind}. Received {name!r}; known: {', '.join(table)}")
    return table[name]


# --------------------------------------------------------------------------------------------------------------------
# Landmark layouts: what the points of a data set are
# --------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Chain:
    """One contour: landmark indices in drawing order. A closed chain returns to its first landmark."""

    name: str
    indices: tuple[int, ...]
    closed: bool = False

    @property
    def path(self) -> list[int]:
        """The indices as a line visits them; a closed chain's first one comes again at the end."""
        return [*self.indices, *self.indices[:1]] if self.closed else list(self.indices)


@dataclass(frozen=True)
class ContourMap:
    """Where the landmarks of a layout lie on ACE-Net's anchors and contours; what is not annotated is left out.

    anchors: anchor -> the landmark that it is.
    contours: contour -> its vertices from the image's left to its right, the nose ridge's downwards; a vertex is a
        landmark, or the middle of several.
    rings: for sets whose order within a part is not published. The landmarks of a closed outline, and what its upper
        and lower half and its left and right end are: two contours, two anchors. An end is the landmark farthest along
        the line between the eyes, its halves lie between them. "" stands for what ACE-Net does not have.
    """

    anchors: dict[str, int]
    contours: dict[str, tuple[tuple[int, ...], ...]]
    rings: tuple[tuple[tuple[int, ...], tuple[str, str], tuple[str, str]], ...] = ()

    def sparse(self, kept: tuple[int, ...]) -> "ContourMap":
        """The map of some of the landmarks, in their old numbers."""
        contours = {name: tuple(v for v in line if set(v) <= set(kept)) for name, line in self.contours.items()}
        return ContourMap({name: i for name, i in self.anchors.items() if i in kept}, contours)


def _each(*landmarks: int) -> tuple[tuple[int, ...], ...]:
    """Vertices that are landmarks."""
    return tuple((index,) for index in landmarks)


@dataclass(frozen=True)
class Layout:
    """A landmark layout, 0-based indices, "left" and "right" as seen in the image.

    partners: the landmark that each landmark becomes in the mirror image.
    normalisers: name -> two groups of landmarks; the distance between the two groups' means divides the error.
    parts: facial parts for which the error is reported apart.
    corners: points that annotators can place exactly (no direction of uncertainty): corners of eyes and mouth, pupils
        (AFLW's eye centres lie on their lines instead), and a nose's tip that lies on no curve.
    contour_map: where they lie on ACE-Net's anchors and contours; None where too few of them do.
    sampled: the chains are curves given at many points, so that only corners are drawn as dots.
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

        They are those before and after it on its chain; at an open end the landmark takes the place of the one that is
        missing. A landmark on no chain, or a corner on more than one, has no tangent and is given twice.

        Raises:
            ValueError: a landmark that is no corner lies on more than one chain, so that its tangent is not defined.
        """
        found = {index: [] for index in range(self.points)}
        for chain in self.chains:
            ends = (chain.indices[-1], chain.indices[0]) if chain.closed else (chain.indices[0], chain.indices[-1])
            path = (ends[0], *chain.indices, ends[1])
            for before, index, after in zip(path, path[1:], path[2:], strict=False):
                found[index].append((before, after))
        for index, pairs in found.items():
            if len(pairs) > 1 and index not in self.corners:
                raise ValueError(f"landmark {index} has no one tangent. Received {len(pairs)} chains; 1 is right")
        return tuple(pairs[0] if len(pairs) == 1 else (index, index) for index, pairs in found.items())


def _partners(points: int, *mirrored: tuple[int, ...]) -> tuple[int, ...]:
    """Partner of every point, from groups that the mirror image reads backwards; other points map to themselves."""
    partner = list(range(points))
    for group in mirrored:
        for index, other in zip(group, reversed(group), strict=True):
            partner[index] = other
    return tuple(partner)


def _span(first: int, last: int) -> tuple[int, ...]:
    """The indices first..last, both included, as data-set papers write them."""
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
    contour_map=ContourMap(
        anchors={
            "right eye inner corner": 42,
            "right eye outer corner": 45,
            "left eye inner corner": 39,
            "left eye outer corner": 36,
            "nose tip": 30,
            "nose bottom center": 33,
            "mouth right outer corner": 54,
            "mouth left outer corner": 48,
            "mouth right inner corner": 64,
            "mouth left inner corner": 60,
        },
        contours={
            "right eyebrow center-line": _each(*_span(22, 26)),
            "left eyebrow center-line": _each(*_span(17, 21)),
            "right eye upper lid": _each(*_span(42, 45)),
            "right eye lower lid": _each(42, 47, 46, 45),
            "left eye upper lid": _each(*_span(36, 39)),
            "left eye lower lid": _each(36, 41, 40, 39),
            "nose ridge": _each(*_span(27, 30)),
            "nose bottom boundary": _each(*_span(31, 35)),
            "mouth upper lip outer": _each(*_span(48, 54)),
            "mouth lower lip outer": _each(48, 59, 58, 57, 56, 55, 54),
            "mouth upper lip inner": _each(*_span(60, 64)),
            "mouth lower lip inner": _each(60, 67, 66, 65, 64),
            "chin boundary": _each(*_span(0, 16)),
        },
    ),
)
# ACE-Net's sparse annotation. Its figure 7 (c) shows 36 of the 68 landmarks and cannot be read; these are the anchors,
# every second landmark of jaw and brows, and one landmark of each half of lids and lips. A mirrored face has the same.
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
    contour_map=ContourMap(
        anchors={
            "right eye inner corner": 68,
            "right eye outer corner": 72,
            "left eye inner corner": 64,
            "left eye outer corner": 60,
            "right iris center": 97,
            "left iris center": 96,
            "nose tip": 54,
            "nose bottom center": 57,
            "mouth right outer corner": 82,
            "mouth left outer corner": 76,
            "mouth right inner corner": 92,
            "mouth left inner corner": 88,
        },
        contours={
            "right eyebrow center-line": ((42, 50), (43, 49), (44, 48), (45, 47), (46,)),
            "left eyebrow center-line": ((33,), (34, 41), (35, 40), (36, 39), (37, 38)),
            "right eye upper lid": _each(*_span(68, 72)),
            "right eye lower lid": _each(68, 75, 74, 73, 72),
            "left eye upper lid": _each(*_span(60, 64)),
            "left eye lower lid": _each(60, 67, 66, 65, 64),
            "nose ridge": _each(*_span(51, 54)),
            "nose bottom boundary": _each(*_span(55, 59)),
            "mouth upper lip outer": _each(*_span(76, 82)),
            "mouth lower lip outer": _each(76, 87, 86, 85, 84, 83, 82),
            "mouth upper lip inner": _each(*_span(88, 92)),
            "mouth lower lip inner": _each(88, 95, 94, 93, 92),
            "chin boundary": _each(*_span(0, 32)),
        },
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

# Templates of the Face Research Lab (.tem): 189 points, of which those of the face itself are read: pupils, lids, nose,
# brows, lips, where the ears meet the face, jaw. Hair, neck, ears, folds and the irises' outlines are left out. The
# last two groups in the template's own numbers; the layout counts the points that are read.
FRL_POINTS = 189
FRL_FACE = (
    *(0, 1, *_span(18, 33)),
    *_span(50, 114),
    *_span(125, 133),
    *_span(179, 182),
)


def _frl(*points: int) -> tuple[int, ...]:
    """Points of the template as the layout counts them."""
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
    contour_map=ContourMap(
        anchors={
            "right eye inner corner": _frl(23)[0],
            "right eye outer corner": _frl(27)[0],
            "left eye inner corner": _frl(22)[0],
            "left eye outer corner": _frl(18)[0],
            "right iris center": _frl(1)[0],
            "left iris center": _frl(0)[0],
            "nose bottom center": _frl(55)[0],
            "mouth right outer corner": _frl(93)[0],
            "mouth left outer corner": _frl(87)[0],
        },
        contours={
            "right eye upper lid": _each(*_frl(*_span(23, 27))),
            "right eye lower lid": _each(*_frl(23, 31, 32, 33, 27)),
            "left eye upper lid": _each(*_frl(*_span(18, 22))),
            "left eye lower lid": _each(*_frl(18, 28, 29, 30, 22)),
            "nose bottom boundary": _each(*_frl(64, 180, 55, 181, 69)),
            "mouth upper lip outer": _each(*_frl(*_span(87, 93))),
            "mouth lower lip outer": _each(*_frl(87, *_span(104, 108), 93)),
            "mouth upper lip inner": _each(*_frl(*_span(94, 98))),
            "mouth lower lip inner": _each(*_frl(*_span(99, 103))),
            "chin boundary": _each(*_frl(*_span(125, 133))),
        },
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
    contour_map=ContourMap(
        anchors={},
        contours={"chin boundary": _each(*_span(0, 40))},
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

# Anchors and contours of ACE-Net (Table 3), in its order. As everywhere, left and right are those of the image.
ANCHORS = (
    "right eye inner corner",
    "right eye outer corner",
    "left eye inner corner",
    "left eye outer corner",
    "right iris center",
    "left iris center",
    "nose tip",
    "nose bottom center",
    "mouth right outer corner",
    "mouth left outer corner",
    "mouth right inner corner",
    "mouth left inner corner",
)
CONTOURS = (
    "right eyebrow center-line",
    "left eyebrow center-line",
    "right eye upper lid",
    "right eye lower lid",
    "left eye upper lid",
    "left eye lower lid",
    "nose ridge",
    "nose bottom boundary",
    "mouth upper lip outer",
    "mouth lower lip outer",
    "mouth upper lip inner",
    "mouth lower lip inner",
    "chin boundary",
)
CONTOUR_POINTS = (
    48  # places for vertices of a contour; one that fills them all is known everywhere, not at landmarks only
)
# Not in any mean: 300W does not annotate them, so that no landmark and no network trained on it alone could have them
UNCOUNTED_ANCHORS = ("right iris center", "left iris center")
CONTOUR_PARTS = {  # of a face, for which NME^AC is reported apart: what the names of anchors and contours begin with
    "eyes": ("right eye ", "left eye "),
    "nose": ("nose",),
    "mouth": ("mouth",),
    "chin": ("chin",),
    "brows": ("right eyebrow", "left eyebrow"),
}


# --------------------------------------------------------------------------------------------------------------------
# Data sets
# --------------------------------------------------------------------------------------------------------------------


class DatasetName(enum.StrEnum):
    """The data sets; the value is the folder's name below the data root."""

    w300 = "w300"
    cofw = "cofw"
    cofw68 = "cofw68"
    wflw = "wflw"
    aflw = "aflw"
    helen194 = "helen194"
    frl = "frl"
    synthetic = "synthetic"
    youtube = "youtube_faces"


@dataclass(frozen=True)
class Part:
    """One part of a data set as it is distributed: where its faces lie, and what they count as.

    path: folder or file below the set's root. split: train, test or private. subset: the test subset it forms, or "".
    count: official number of faces. validation: how many of them are held out for choosing.
    extra: taken only when asked for (--extra). section: which part of the file it is, where one file holds several.
    clips: its pictures are frames, CLIP_NUMBER; those of one clip stay on one side of every split.
    """

    path: str
    split: str
    count: int
    subset: str = ""
    validation: int = 0
    extra: bool = False
    section: str = ""
    clips: bool = False

    @property
    def name(self) -> str:
        """What the part is called: its path, and its section where there is one."""
        return f"{self.path}:{self.section}" if self.section else self.path


@dataclass(frozen=True)
class Dataset:
    """One data set.

    title: its name in print and on the command line.
    reader: which reader of face_readers.py understands its files.
    subsets: evaluated split -> subset -> official number of faces; "full" is every face of the split.
    normaliser: the one that its NME is reported with first. recipe: how it is trained where nothing else is said.
    render_size: side of its pictures in pixels where the project renders them, else 0.
    pose_mode: the shape mode, from 0, that turns the head to the side, along which poses are balanced.
    terms: what its authors allow.
    """

    name: DatasetName
    title: str
    layout: Layout
    reader: str
    parts: tuple[Part, ...]
    subsets: dict[str, dict[str, int]]
    normaliser: str = "inter-ocular"
    recipe: str = "faces"
    render_size: int = 0
    pose_mode: int = 0
    terms: str = "research use"

    @property
    def outputs(self) -> int:
        """Numbers a network predicts for one face: x and y of every landmark."""
        return 2 * self.layout.points


_WFLW_LISTS = "WFLW_annotations/list_98pt_rect_attr_train_test"

DATASETS = {
    dataset.name: dataset
    for dataset in (
        Dataset(
            DatasetName.w300,
            "300W",
            LAYOUT_68,
            reader="pts",
            parts=(
                Part("afw", "train", 337),
                Part("helen/trainset", "train", 2000, validation=150),
                Part("lfpw/trainset", "train", 811),
                Part("helen_recovered", "train", 963, extra=True),
                Part("helen/testset", "test", 330, "common"),
                Part("lfpw/testset", "test", 224, "common"),
                Part("ibug", "test", 135, "challenging"),
                Part("01_Indoor", "private", 300, "indoor"),
                Part("02_Outdoor", "private", 300, "outdoor"),
            ),
            subsets={
                "test": {"full": 689, "common": 554, "challenging": 135},
                "private": {"full": 600, "private": 600, "indoor": 300, "outdoor": 300},
            },
        ),
        Dataset(
            DatasetName.cofw,
            "COFW",
            LAYOUT_29,
            reader="cofw",
            parts=(
                Part("COFW_train_color.mat", "train", 1345, validation=100),
                Part("COFW_test_color.mat", "test", 507),
            ),
            subsets={"test": {"full": 507}},
        ),
        Dataset(
            DatasetName.cofw68,
            "COFW-68",
            LAYOUT_68,
            reader="cofw68",
            parts=(Part("COFW_test_color.mat", "test", 507),),
            subsets={"test": {"full": 507}},
        ),
        Dataset(
            DatasetName.wflw,
            "WFLW",
            LAYOUT_98,
            reader="wflw",
            parts=(
                Part(f"{_WFLW_LISTS}/list_98pt_rect_attr_train.txt", "train", 7500, validation=500),
                Part(f"{_WFLW_LISTS}/list_98pt_rect_attr_test.txt", "test", 2500),
            ),
            subsets={
                "test": {
                    "full": 2500,
                    "pose": 326,
                    "expression": 314,
                    "illumination": 698,
                    "make-up": 206,
                    "occlusion": 736,
                    "blur": 773,
                }
            },
        ),
        Dataset(
            DatasetName.aflw,
            "AFLW",
            LAYOUT_19,
            reader="aflw",
            parts=(
                Part("AFLWinfo_release.mat", "train", 20000, validation=500, section="train"),
                Part("AFLWinfo_release.mat", "test", 4386, section="test"),
            ),
            subsets={"test": {"full": 4386, "frontal": 1314}},
            normaliser="box",
            pose_mode=1,
        ),
        Dataset(
            DatasetName.helen194,
            "HELEN-194",
            LAYOUT_194,
            reader="helen194",
            parts=(Part("annotation", "test", 330),),
            subsets={"test": {"full": 330}},
            normaliser="landmark-box",
        ),
        Dataset(
            DatasetName.frl,
            "FRL",
            LAYOUT_FRL,
            reader="tem",
            parts=(Part(".", "test", 102),),
            subsets={"test": {"full": 102}},
        ),
        Dataset(
            DatasetName.synthetic,
            "synthetic",
            LAYOUT_68,
            reader="synthetic",
            parts=(
                Part("train", "train", 2500, validation=150),
                Part("test", "test", 500),
            ),
            subsets={
                "test": {
                    "full": 500,
                    "pose": 93,
                    "expression": 206,
                    "occlusion": 109,
                    "illumination": 250,
                    "make-up": 91,
                    "blur": 140,
                }
            },
            recipe="quick",
            render_size=128,
            terms="made by this project, Apache-2.0",
        ),
        Dataset(  # landmarks of a machine: to start a training from, never to evaluate on
            DatasetName.youtube,
            "YouTube-Faces",
            LAYOUT_68,
            reader="pts",
            parts=(Part("youtube_faces", "train", 4232, validation=150, clips=True),),
            subsets={},
        ),
    )
}


TITLES = ", ".join(dataset.title for dataset in DATASETS.values())


def dataset_of(name: "DatasetName | str") -> Dataset:
    """The row of a data set, by member, folder name or printed name ("300W").

    Raises:
        ValueError: no such data set.
    """
    for dataset in DATASETS.values():
        if name in (dataset.name, dataset.title):
            return dataset
    raise ValueError(f"unknown data set. Received {name!r}; known: {TITLES}")


# --------------------------------------------------------------------------------------------------------------------
# Stored faces and crops
# --------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class StoredFace:
    """How a prepared face lies on disk: a square region around its box, upright, JPEG.

    context: side of the region in units of the box's longer side; 2.8 holds every crop below under the rotation, shift
        and scale of the recipes. box_pixels: the box's longer side is shrunk to at most this (never enlarged).
    """

    context: float = 2.8
    box_pixels: int = 224
    jpeg_quality: int = 95
    largest_box: float = 2.0  # a box this many times as large as its image is a wrong annotation


STORED_FACE = StoredFace()


@dataclass(frozen=True)
class Crop:
    """From a box (left, top, right, bottom) to the region a network sees.

    left, right, top, bottom: padding as shares of the box's width and height; pixels: padding in image pixels besides.
    centre: "box", or "centroid" of the landmarks. square: the longer side is taken for both, around the same centre;
    otherwise the region is stretched. scale: side of a centroid crop in units of the box's longer side.
    """

    name: str
    left: float = 0.0
    right: float = 0.0
    top: float = 0.0
    bottom: float = 0.0
    pixels: float = 0.0
    centre: str = "box"
    square: bool = True
    scale: float = 1.0


CROPS = {
    crop.name: crop
    for crop in (
        Crop("square", left=0.10, right=0.10, top=0.10, bottom=0.10),
        Crop("tight", pixels=10, square=False),  # the original author's preparation
        Crop("ace", left=0.25, right=0.25, top=0.33, bottom=0.17),  # ACE-Net, Sec. 5.3
        Crop("centroid", centre="centroid", scale=1.3),  # pixel-wise classification
    )
}
DEFAULT_CROP = "square"
LEGACY_CROP = "tight"  # what an old .h5 file, which says nothing, is read with


def crop_of(name: str) -> Crop:
    """The row of a crop.

    Raises:
        ValueError: no such crop.
    """
    return row_of(CROPS, name, "crop")


# --------------------------------------------------------------------------------------------------------------------
# Networks
# --------------------------------------------------------------------------------------------------------------------


class ModelArch(enum.StrEnum):
    """The networks; the value is the command-line string, for the first three the original's.

    The fourth and fifth are those of the anisotropic loss's paper, as far as Keras has them: it has no Wide ResNet. The
    next two are the pixel-wise classification paper's, whole and at a fourth of its width; the last is for heatmaps
    alone.
    """

    MNV2 = "mobileNetV2"
    EFNB0 = "EfficientNet-B0"
    EFNB3 = "EfficientNet-B3"
    RN50 = "ResNet-50"
    DN121 = "DenseNet-121"
    VGG19 = "VGG19"
    VGG19S = "VGG19-small"
    ACE = "ACE-Net"


@dataclass(frozen=True)
class Network:
    """One network: its backbone, its head, and the name its weights are stored under.

    The head is global average pooling, dropout, and a linear layer of 2N outputs (He-uniform). `head` multiplies the
    pooled features before that layer, and with it both what the head says at the start and what a step changes of it.

    application: the Keras application that is its backbone; None for one of ours (pixelwise/vgg.py, ace_net/model.py).
    taps: its layers at an eighth and a sixteenth of the input, where the heads of pixelwise/ that predict maps take
        their shortcuts; none where it has no use without its own head.
    width: factor on every channel count of pixelwise/, of its backbone and of its heads.
    """

    arch: ModelArch
    application: str | None
    dropout: float
    stem: str
    taps: tuple[str, ...]
    input_size: int = 224
    head: float = 1.0
    width: float = 1.0


NETWORKS = {
    network.arch: network
    for network in (
        Network(ModelArch.MNV2, "MobileNetV2", dropout=0.1, stem="mnv2", taps=("block_5_add", "block_12_add")),
        Network(ModelArch.EFNB0, "EfficientNetB0", dropout=0.5, stem="EF_0", taps=("block3b_add", "block5c_add")),
        Network(ModelArch.EFNB3, "EfficientNetB3", dropout=0.5, stem="EF_3", taps=("block3c_add", "block5e_add")),
        Network(ModelArch.RN50, "ResNet50", dropout=0.1, stem="rn50", taps=("conv3_block4_out", "conv4_block6_out")),
        Network(ModelArch.DN121, "DenseNet121", dropout=0.1, stem="dn121", taps=("pool3_relu", "pool4_relu")),
        Network(ModelArch.VGG19, None, dropout=0.1, stem="vgg19", taps=("pool3", "pool4")),
        Network(ModelArch.VGG19S, None, dropout=0.1, stem="vgg19s", taps=("pool3", "pool4"), width=0.25),
        Network(ModelArch.ACE, None, dropout=0.0, stem="ace", taps=(), input_size=256),
    )
}


def network_of(arch: "ModelArch | str") -> Network:
    """The row of a network, by member or its string.

    Raises:
        ValueError: no such network.
    """
    return row_of(NETWORKS, arch, "network")


# --------------------------------------------------------------------------------------------------------------------
# ACR Loss
# --------------------------------------------------------------------------------------------------------------------

ACR_UNIT = 10.0  # pixels of a crop of LOSS_INPUT: the error that the method acr_pixels counts as 1
ACR_LAMBDA = 2.0  # the paper's value is unknown; 2 makes the slope continuous at an error of 1 for phi = 0
SHAPE_CLIP = 3.0  # shape parameters are clipped to +- this many standard deviations of their mode
PCA_PERCENTAGES = (80, 85, 90, 95, 97)
PCA_STARTS = (0, 16, 31, 71, 101)  # first epoch of each percentage
PCA_EPOCHS = 150  # of this many epochs


# --------------------------------------------------------------------------------------------------------------------
# Point losses
# --------------------------------------------------------------------------------------------------------------------

LOSS_INPUT = 224  # side in pixels of the crop in whose pixels the numbers below are meant, whatever the network's input
SMOOTH_L1_THRESHOLD = 1.0  # pixels
WING_WIDTH, WING_CURVATURE = 10.0, 2.0  # w and epsilon of Wing loss; its authors' values, of 256 px probably
ANISOTROPY = (5.0, 3.0)  # a, b; b is published, a is garbled in our copy of the text and 5 is a reading of it
ANISOTROPY_ABLATION = ((1.0, 1.0), (3.0, 1.0), (9.0, 3.0))  # other pairs that are compared
POSE_BINS = 9


# --------------------------------------------------------------------------------------------------------------------
# Heatmaps and pixel-wise classification
# --------------------------------------------------------------------------------------------------------------------

MAP_SIGMA = 3.0  # of the Gaussian around a landmark, in pixels of a crop of LOSS_INPUT
HYBRID_BETA = 0.25  # weight of the distance, in pixels of a crop of LOSS_INPUT, beside the cross-entropy
ADAPTIVE_WING = types.MappingProxyType({"omega": 14.0, "theta": 0.5, "epsilon": 1.0, "alpha": 2.1})  # its authors' own
ADAPTIVE_WING_WEIGHT, ADAPTIVE_WING_MASK = 10.0, 0.2  # weight of the pixels near a landmark; least height that is near
WINDOW_SIGMAS = 3.0  # the sub-pixel window reaches so many MAP_SIGMA to every side of the highest pixel
CASCADE_STAGES, CASCADE_INPUT, CASCADE_DROPOUT = 3, 112, 0.5  # Deep Alignment Network; side of its input in pixels
DISCRIMINATOR_UNITS = (128, 128)
DISCRIMINATOR_RATE = 1e-4  # of its Adam, the paper's
DETECTOR_STEPS = 2  # for each step of the discriminator

# --------------------------------------------------------------------------------------------------------------------
# ACE-Net
# --------------------------------------------------------------------------------------------------------------------

CONTOUR_WIDTH = 2  # sigma of Eqs. 1 and 2, in pixels of the heatmap; Sec. 5.3
EXTRACTION_WIDTH = 3  # sigma of extraction: predicted ridges are broader than true ones; Sec. 5.3
FINE_STRIDE, COARSE_STRIDE = 2, 8  # of the heatmaps, in pixels of the input; Sec. 5.3, Appendix B
FAR = 6.0  # D of Eqs. 8 and 10, pixels of the heatmap
PERFECT_CONTOURNESS, CONTOURNESS_SCALE = 4.92, 1.5  # of f, Sec. 5.3
LANDMARK_WEIGHT = LINE_WEIGHT = 0.1  # lambda of Eq. 11
HEAT_EMPHASIS = 10.0  # alpha of Eq. 4; not published
LINE_SAMPLES = 48  # places, evenly along a contour, that stand for the pixels of Eq. 8


HEAT_CHANNELS = (16, 32, 64)  # of the small pyramid, at 1/2, 1/4 and 1/8 of the input
HOURGLASS_DEPTH = 3


@dataclass(frozen=True)
class Extraction:
    """How contours are read from heatmaps; the paper names the steps, not the numbers.

    strong, weak: hysteresis on the contourness, as shares of that of a perfect line. anchor: least heat of an anchor.
    gap: pixels of the heatmap over which the traces of one contour are joined.
    """

    strong: float = 0.3
    weak: float = 0.1
    anchor: float = 0.05
    gap: float = 24.0


EXTRACTION = Extraction()


# --------------------------------------------------------------------------------------------------------------------
# Recipes
# --------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Augmentation:
    """Ranges of the random moves of a training face; probabilities in [0, 1]."""

    rotation: float = 30.0  # degrees, uniform to both sides
    scale: tuple[float, float] = (0.85, 1.2)  # size of the face in the crop; log-uniform
    shift: float = 0.06  # share of the crop's side, uniform, x and y apart
    flip: float = 0.5
    brightness: float = 0.25  # factor 1 +- this
    contrast: float = 0.3
    gamma: float = 0.4  # exponent 2 ** (+- this)
    colour: float = 0.15  # per-channel factor 1 +- this
    grey: float = 0.15  # probability of a colourless face
    blur: float = 0.15  # probability of a Gaussian blur
    blur_sigma: tuple[float, float] = (0.5, 1.5)  # pixels at an input of `blur_input`, grows with the input
    blur_input: int = 112
    noise: float = 0.15  # probability of Gaussian noise
    noise_sigma: tuple[float, float] = (2.0, 12.0)  # grey levels of 255
    occlusion: float = 0.4  # probability of a covering rectangle
    occlusion_side: tuple[float, float] = (0.1, 0.45)  # shares of the crop's side


BLUR_REACH = 3  # standard deviations to each side of a pixel that its blur takes in
NOISE_ROOM = 128  # places to each side from which a face's part of the noise plane is taken


@dataclass(frozen=True)
class Recipe:
    """Everything a training run needs beside its data, network and method.

    repeats: how often an epoch shows each face, moved anew each time (the original stored 4 to 10 copies).
    warm_up: share of the steps over which the learning rate rises from 0.
    decay: "cosine" to 0, "constant", or "inverse": divided by 1 + `inverse` x steps.
    ema: length of the weights' moving average as a share of all steps, 0 for none. batch_norm: the same of BatchNorm's
        moving statistics. Keras' own momentum of 0.999 is a thousand steps, far too long for a run of a few thousand.
    epsilon: Adam's. Gradients of losses in sides of the crop are so small that Keras' own 1e-7 holds many weights back.
    dropout, head: instead of the network's own. Features left out at random are noise in the landmarks, which hides
        small errors from the loss. Unscaled features start with landmarks all over the picture, elsewhere for every
        face; and since they are never negative, a step of Adam moves all weights of a coordinate the same way, which
        throws the whole face about by far more than the errors that are to be learned.
    mean_face: whether the head's bias starts at the mean of the training faces.
    fused: steps that a GPU does between two looks from the host; an epoch is a multiple of it.
    epoch_steps: steps of an epoch, whatever the number of faces. patience: the run ends early after so many epochs in a
        row that did not lower the validation NME; None never does.
    """

    name: str
    input_size: int
    epochs: int
    batch_size: int
    learning_rate: float
    repeats: int = 1
    warm_up: float = 0.0
    decay: str = "constant"
    inverse: float | None = None
    weight_decay: float = 0.0
    ema: float = 0.0
    batch_norm: float = 0.01
    epsilon: float = 1e-7
    dropout: float | None = None
    head: float | None = None
    mean_face: bool = False
    fused: int = 1
    augmentation: Augmentation = field(default_factory=Augmentation)
    epoch_steps: int | None = None
    patience: int | None = None

    def steps_per_epoch(self, faces: int) -> int:
        """Steps of an epoch: by default those in which it shows each of so many faces `repeats` times."""
        if self.epoch_steps:
            return self.epoch_steps
        return max(1, round(faces * self.repeats / (self.batch_size * self.fused))) * self.fused


# Rendered faces are turned, lit, covered and blurred already.
SMALL_MOVES = Augmentation(
    rotation=10.0,
    scale=(0.92, 1.1),
    shift=0.03,
    contrast=0.15,
    gamma=0.2,
    grey=0.05,
    blur=0.0,
    noise=0.0,
    occlusion=0.0,
)

# What the pixel-wise classification paper names, and nothing else.
TURNED_AND_SHRUNK = Augmentation(
    rotation=30.0,
    scale=(0.6, 1.0),
    shift=0.0,
    flip=0.0,
    brightness=0.0,
    contrast=0.0,
    gamma=0.0,
    colour=0.0,
    grey=0.0,
    blur=0.0,
    noise=0.0,
    occlusion=0.0,
)

# ACE-Net, Sec. 5.3. It names shift, rotation, mirror, gamma and noise, and no size of the noise. Occlusion, blur and
# the rest are left out; faces keep their size, since it names no scale.
ACE_MOVES = Augmentation(
    rotation=30.0,
    scale=(1.0, 1.0),
    shift=0.25,
    brightness=0.0,
    contrast=0.0,
    gamma=0.75,
    colour=0.0,
    grey=0.0,
    blur=0.0,
    noise=0.5,
    occlusion=0.0,
)

RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe("quick", 64, epochs=15, batch_size=32, learning_rate=2e-3, repeats=3, warm_up=0.05, decay="cosine",
               weight_decay=1e-4, ema=0.05, epsilon=1e-10, dropout=0.0, head=0.05, mean_face=True,
               augmentation=SMALL_MOVES),
        Recipe("faces", 112, epochs=80, batch_size=32, learning_rate=2e-3, repeats=4, warm_up=0.03, decay="cosine",
               weight_decay=1e-4, ema=0.05, epsilon=1e-10, dropout=0.0, head=0.05, mean_face=True),
        # about ten minutes on an H200; not yet measured there
        Recipe("gpu", 224, epochs=40, batch_size=128, learning_rate=2e-3, repeats=32, warm_up=0.05, decay="cosine",
               weight_decay=1e-4, ema=0.05, epsilon=1e-10, dropout=0.0, head=0.05, mean_face=True, fused=10),
        # ACE-Net's published rates; batch and epochs are not known
        Recipe("ace", 256, epochs=100, batch_size=16, learning_rate=2.5e-4, decay="inverse", inverse=1e-6, epsilon=1e-8,
               augmentation=ACE_MOVES),
        # the same in few steps: a higher rate that falls to 0, averaged weights, smaller shifts
        Recipe("ace_short", 256, epochs=50, batch_size=16, learning_rate=1e-3, warm_up=0.03, decay="cosine", ema=0.05,
               augmentation=replace(ACE_MOVES, shift=0.12)),
        Recipe("original", 224, epochs=150, batch_size=32, learning_rate=1e-3, repeats=4),
        Recipe("pixelwise", 224, epochs=1000, batch_size=16, learning_rate=1e-4, batch_norm=0.0, epoch_steps=1000,
               patience=10, augmentation=TURNED_AND_SHRUNK),
    )
}  # fmt: skip


SHORTEST_AVERAGE = 10  # steps

# Side of an input in pixels up to which TensorFlow trains faster with several operations at a time, one core for each,
# than with all cores on one operation: on two cores 12 % at 64 px, nothing at 112 px, and 18 % slower at 224 px.
ONE_CORE_AN_OPERATION = 64


def momentum_of(share: float, steps: int) -> float:
    """The momentum of a moving average as long as this share of a run of `steps`."""
    return 1 - 1 / max(SHORTEST_AVERAGE, share * steps)


def recipe_of(dataset: Dataset, name: str | None = None) -> Recipe:
    """The named recipe, or the data set's own.

    Raises:
        ValueError: no such recipe.
    """
    return row_of(RECIPES, name or dataset.recipe, "recipe")


# --------------------------------------------------------------------------------------------------------------------
# Evaluation
# --------------------------------------------------------------------------------------------------------------------

FAILURE_THRESHOLDS = (8.0, 10.0)  # NME in percent above which a face counts as failed; also the ends of AUC
WORST_FACES = 20  # how many faces the picture of failures shows
AUTHOR_AUC = (20, 10.0)  # the original author's own AUC: number of thresholds, and the last one, NME in percent
CONTOUR_AUC, CONTOUR_SHARE = 6.0, 1.25  # NME^AC in percent: end of the AUC, and below which a face is aligned finely
EVALUATION_BATCH = 32  # faces that go through the network at once

BOOTSTRAP_DRAWS = 10_000
BOOTSTRAP_INTERVAL = 0.95  # the share of the draws that the interval of a difference holds
SMALLEST_BOOTSTRAP = 30  # faces; with fewer, percentile intervals are too narrow to judge by
LARGEST_OVERHEAD = 0.03  # share of a training step that a loss may add

# --------------------------------------------------------------------------------------------------------------------
# Your own pictures: finding faces, confidence, video
# --------------------------------------------------------------------------------------------------------------------

MOST_PIXELS = 100_000_000  # of a picture that is opened; at 3 bytes each, 300 MB
PICTURE_BATCH = 4  # pictures in memory at once
PICTURE_SUFFIXES = (".jpg", ".jpeg", ".jpe", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".jp2", ".avif")
VIDEO_SUFFIXES = (".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg")
ANIMATED_FORMATS = ("GIF", "PNG", "WEBP", "AVIF")  # phones store a still with a preview as two frames of a JPEG
WHOLE_VIDEO = 0.98  # a video with a smaller share of the frames it announces was cut; containers miscount a little
CAMERA = "camera"  # as an input of predict.py
CAMERA_RATE = 30.0  # frames/s where a camera or a video does not tell
VIDEO_CODEC = "mp4v"  # the one that OpenCV's packages bring along


@dataclass(frozen=True)
class BoxFit:
    """Where the landmarks' box lies in a detector's square box, in units of its side; means over training faces.

    x, y: from the middle of the detector's box to that of the landmarks' box. width, height: of the landmarks' box.
    """

    x: float = 0.0
    y: float = 0.0
    width: float = 1.0
    height: float = 1.0


@dataclass(frozen=True)
class Cascade:
    """One of OpenCV's cascades.

    file: its name in OpenCV's own folder. mirrored: look in the mirror image too (it knows faces turned one way only).
    least: detections of a smaller last-stage weight are dropped.
    score: slope and offset of the probability that a detection is a face, a logistic function of its weight.
    fits: number of landmarks -> where their box lies.
    """

    file: str
    mirrored: bool
    least: float
    score: tuple[float, float]
    fits: dict[int, BoxFit]


# python -m benches.measure_detector --dataset 300W --raw DIR   (training faces; --dataset COFW for 29 landmarks)
# 98 landmarks (WFLW) run around the same outline as 68.
CASCADES = {
    "frontal": Cascade(
        "haarcascade_frontalface_alt2.xml",
        mirrored=False,
        least=0.0,
        score=(2.038, -111.99),
        fits={68: BoxFit(0.003, 0.143, 0.871, 0.844), 29: BoxFit(-0.007, 0.138, 0.646, 0.822)},
    ),
    "profile": Cascade(
        "haarcascade_profileface.xml",
        mirrored=True,
        least=1.0,
        score=(0.661, 0.90),
        fits={68: BoxFit(-0.108, 0.150, 0.794, 0.761), 29: BoxFit(-0.162, 0.149, 0.582, 0.752)},
    ),
}
# Landmarks -> landmarks whose box is the same, from the brows to the chin; not measured for AFLW's 19
SAME_OUTLINE = types.MappingProxyType({98: 68, 194: 68, len(FRL_FACE): 68, 19: 29})
YUNET_FIT = BoxFit()  # not measured: its file was not at hand; the second pass makes up for it


@dataclass(frozen=True)
class Detection:
    """How faces are looked for.

    pixels: a larger picture is shrunk to this many, since the cascades' time grows with them. border: repeated pixels
        around it, since cascades want room around a face; a share of its side (the square root of its area).
    step: factor between the sizes looked for. neighbours: least number of agreeing windows. least_side: of a face, in
        pixels of the shrunk picture.
    overlap: of two boxes that overlap by a larger share (intersection over union) the one with the lower score goes.
    yunet_score: least score of YuNet.
    """

    pixels: int = 600_000
    border: float = 0.15
    step: float = 1.1
    neighbours: int = 3
    least_side: int = 30
    overlap: float = 0.3
    yunet_score: float = 0.7


DETECTION = Detection()
PASSES = 2  # the second crop lies around the landmarks that the first one gave


@dataclass(frozen=True)
class Copy:
    """One way to show a face to the network again: degrees, factor, shares of the crop's side, mirrored or not."""

    rotation: float = 0.0
    scale: float = 1.0
    shift: tuple[float, float] = (0.0, 0.0)
    flip: bool = False


COPIES = (
    Copy(),
    Copy(flip=True),
    Copy(rotation=10),
    Copy(rotation=-10),
    Copy(scale=1.08),
    Copy(shift=(0.04, 0)),
    Copy(shift=(-0.04, 0)),
    Copy(shift=(0, 0.04)),
)
CONFIDENT_ERROR = 5.0  # percent of the data set's normaliser: confidence is the probability of an error no larger
CONFIDENCE_SUFFIX = ".confidence.json"  # calibration beside the weights: best.keras, best.confidence.json
CONFIDENCE_SLOPE, CONFIDENCE_OFFSET = -1.39, -5.76  # of weights without a file of their own
CONFIDENCE_BINS = 10  # of the reliability plot
COVER_SHARE = 0.4  # side of the patch that covers a face in calibration, as a share of the face's box


@dataclass(frozen=True)
class Tracking:
    """Following faces through a video.

    redetect: frames from one look for new faces to the next. lost: least mean confidence of a face that is followed.
    leap: largest factor by which a face's box may grow or shrink from frame to frame. overlap: of two tracks that
        overlap by a larger share (intersection over union) the younger one goes.
    cutoff: of the One-Euro filter at rest, in Hz. beta: by how much it rises with speed, in Hz per face side/s.
    speed_cutoff: of the filter's own speed, in Hz.
    """

    redetect: int = 30
    lost: float = 0.3
    leap: float = 1.6
    overlap: float = 0.5
    cutoff: float = 1.0
    beta: float = 20.0
    speed_cutoff: float = 3.0


TRACKING = Tracking()

DEMO_PORT = 7860
DEMO_BYTES = 20_000_000  # of an upload
DEMO_PIXELS = 40_000_000  # of its picture
DEMO_KEPT_SECONDS = 60  # until an upload is deleted


# --------------------------------------------------------------------------------------------------------------------
# Shipped weights
# --------------------------------------------------------------------------------------------------------------------

# What a shipped file's name ends in, by method: the original's names where it has one; else the method's own
SHIPPED_NAMES = types.MappingProxyType({"acr": "ACRLoss", "l2": "base", "l1": "L1"})
SHIPPED_SHIFT = 0.005  # percentage points of validation NME by which float16 may differ from float32
MACHINE_SHIFT = 0.05  # the same between the machine of the training and another: GPUs round products to TF32
CARD_FACES = 5  # how many of the worst faces a model card names
CARD_POSES = 3  # bins of head pose that it tells apart


# --------------------------------------------------------------------------------------------------------------------
# Export
# --------------------------------------------------------------------------------------------------------------------

EXPORT_SUFFIXES = types.MappingProxyType({"onnx": ".onnx", "litert": ".tflite"})  # format -> what its files end in
CALIBRATION_FACES = 128  # training faces that int8 takes its ranges from
RENDERED_CHECK_FACES = 128  # where there is no data root
RENDERED_EXPORT_SEEDS = (2_000_000_000, 3_000_000_000)  # of calibration and check; not in the synthetic data set


@dataclass(frozen=True)
class Precision:
    """How an exported network keeps its numbers, and how far it may stray from the Keras network.

    shift: largest distance of any landmark of any face, in pixels of the network's input; None for any.
    nme_ratio: its NME over that of the Keras network; None for any.
    """

    name: str
    shift: float | None = None
    nme_ratio: float | None = None


PRECISIONS = {
    precision.name: precision
    for precision in (
        Precision("float32", shift=1e-3),
        Precision("float16", shift=0.25),
        Precision("int8", nme_ratio=1.03),
    )
}
