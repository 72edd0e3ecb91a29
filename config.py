"""The facts of the project, as data: data sets, crops, networks, recipes.

Nothing here reads a file or imports Keras. Code elsewhere holds no facts of its own: a data set's points, partners and
normalisers, a network's head, a crop's padding and a recipe's rates are rows of the tables below.
"""

import enum
import types
from dataclasses import dataclass, field

DATA_DIR = "data"  # the data root, unless --data-dir or --out says otherwise
WEIGHTS_DIR = "pre_trained_models"
PACKAGE = "acr"  # our own classes are registered with Keras under this name
RUNS_DIR = "runs"
BEST_FILE, LAST_FILE = "best.keras", "last.keras"  # weights of a run
SETTINGS_FILE, STATE_FILE, LOG_FILE, CURVES_FILE = "settings.json", "state.npz", "log.csv", "curves.png"
SNAPSHOTS_FILE = "snapshots.json"  # what a run made of one face in its first epochs
SNAPSHOT_EPOCHS = (0, 1, 2, 3)  # finished epochs after which it is kept, and after the last
STRIP_METHODS, STRIP_PIXELS = ("wing", "anisotropic"), 224  # whose snapshots are drawn, from above; side of a picture
SEED = 7
INDEX_VERSION = 1  # of index.json; raise it when its form changes
JOURNAL_FILE = "journal.jsonl"  # finished faces of a preparation
RECORDS_DIR, RECORDS_FILE = "records", "records.json"  # training faces to stream; the list of their files
RECORD_FACES = 1024  # in one file of records
LABEL_COPIES = 4  # moved copies of each training face in the normalised labels
METRICS_FILE, PREDICTIONS_FILE = "metrics.json", "predictions.json"  # of an evaluation
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
class Layout:
    """A landmark layout, 0-based indices, "left" and "right" as seen in the image.

    partners: the landmark that each landmark becomes in the mirror image.
    normalisers: name -> two groups of landmarks; the distance between the two groups' means divides the error.
    parts: facial parts for which the error is reported apart.
    corners: points that annotators can place exactly (no direction of uncertainty): corners of eyes and mouth, pupils,
        and a nose's tip that lies on no curve.
    """

    points: int
    partners: tuple[int, ...]
    normalisers: dict[str, tuple[tuple[int, ...], tuple[int, ...]]]
    parts: dict[str, tuple[int, ...]]
    chains: tuple[Chain, ...]
    corners: tuple[int, ...]

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
    synthetic = "synthetic"


@dataclass(frozen=True)
class Part:
    """One part of a data set as it is distributed: where its faces lie, and what they count as.

    path: folder or file below the set's root. split: train, test or private. subset: the test subset it forms, or "".
    count: official number of faces. validation: how many of them are held out for choosing.
    extra: taken only when asked for (--extra). section: which part of the file it is, where one file holds several.
    """

    path: str
    split: str
    count: int
    subset: str = ""
    validation: int = 0
    extra: bool = False
    section: str = ""

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
            DatasetName.synthetic,
            "synthetic",
            LAYOUT_68,
            reader="synthetic",
            parts=(
                Part("train", "train", 4000, validation=150),
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

    The last two are those of the anisotropic loss's paper, as far as Keras has them: it has no Wide ResNet.
    """

    MNV2 = "mobileNetV2"
    EFNB0 = "EfficientNet-B0"
    EFNB3 = "EfficientNet-B3"
    RN50 = "ResNet-50"
    DN121 = "DenseNet-121"


@dataclass(frozen=True)
class Network:
    """One network: its Keras application, its head, and the name its weights are stored under.

    The head is global average pooling, dropout, and a linear layer of 2N outputs (He-uniform).
    """

    arch: ModelArch
    application: str
    dropout: float
    stem: str
    input_size: int = 224


NETWORKS = {
    network.arch: network
    for network in (
        Network(ModelArch.MNV2, "MobileNetV2", dropout=0.1, stem="mnv2"),
        Network(ModelArch.EFNB0, "EfficientNetB0", dropout=0.5, stem="EF_0"),
        Network(ModelArch.EFNB3, "EfficientNetB3", dropout=0.5, stem="EF_3"),
        Network(ModelArch.RN50, "ResNet50", dropout=0.1, stem="rn50"),
        Network(ModelArch.DN121, "DenseNet121", dropout=0.1, stem="dn121"),
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
WING_WIDTH, WING_CURVATURE = 10.0, 2.0  # w and epsilon of Wing loss, in pixels; its authors' values
ANISOTROPY = (5.0, 3.0)  # a, b; b is published, a is garbled in our copy of the text and 5 is a reading of it
ANISOTROPY_ABLATION = ((1.0, 1.0), (3.0, 1.0), (9.0, 3.0))  # other pairs that are compared
POSE_BINS = 9


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


@dataclass(frozen=True)
class Recipe:
    """Everything a training run needs beside its data, network and method.

    repeats: how often an epoch shows each face, moved anew each time (the original stored 4 to 10 copies).
    warm_up: share of the steps over which the learning rate rises from 0.
    decay: "cosine" to 0, or "constant".
    ema: length of the weights' moving average as a share of all steps, 0 for none. batch_norm: the same of BatchNorm's
        moving statistics. Keras' own momentum of 0.999 is a thousand steps, far too long for a run of a few thousand.
    """

    name: str
    input_size: int
    epochs: int
    batch_size: int
    learning_rate: float
    repeats: int = 1
    warm_up: float = 0.0
    decay: str = "constant"
    weight_decay: float = 0.0
    ema: float = 0.0
    batch_norm: float = 0.01
    augmentation: Augmentation = field(default_factory=Augmentation)

    def steps_per_epoch(self, faces: int) -> int:
        """Steps in which an epoch shows each of so many faces `repeats` times."""
        return max(1, round(faces * self.repeats / self.batch_size))


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

RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe("quick", 64, epochs=30, batch_size=32, learning_rate=2e-3, warm_up=0.05, decay="cosine",
               weight_decay=1e-4, ema=0.05, augmentation=SMALL_MOVES),
        Recipe("faces", 112, epochs=80, batch_size=32, learning_rate=2e-3, repeats=4, warm_up=0.03, decay="cosine",
               weight_decay=1e-4, ema=0.05),
        Recipe("original", 224, epochs=150, batch_size=32, learning_rate=1e-3, repeats=4),
    )
}  # fmt: skip


SHORTEST_AVERAGE = 10  # steps


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
EVALUATION_BATCH = 32  # faces that go through the network at once

BOOTSTRAP_DRAWS = 10_000
BOOTSTRAP_INTERVAL = 0.95  # the share of the draws that the interval of a difference holds
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
SAME_OUTLINE = types.MappingProxyType({98: 68, 19: 29})
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
