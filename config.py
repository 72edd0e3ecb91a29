"""The facts of the project, as data: data sets, crops, networks, the constants of the coordinate losses and of scores,
and the names of files and folders.

Nothing here reads a file or imports Keras. A data set's parts, a network's head and a crop's padding are rows of the
tables below, landmarks are rows of landmark_layouts.py, rates of recipes.py. The numbers of one command or folder stand
with their reader: at the top of a module, or, where several modules of a folder share them, in the folder's own
config.py (ace_net/, benches/, photos/).
"""

import enum
import types
from dataclasses import dataclass

from landmark_layouts import LAYOUT_19, LAYOUT_29, LAYOUT_68, LAYOUT_98, LAYOUT_194, LAYOUT_FRL, Layout

DATA_DIR = "data"  # the data root, unless --data-dir or --out says otherwise
WEIGHTS_DIR = "pre_trained_models"
EXPORT_SUFFIXES = types.MappingProxyType({"onnx": ".onnx", "litert": ".tflite"})  # format -> what its files end in
PACKAGE = "acr"  # our own classes are registered with Keras under this name
RUNS_DIR = "runs"
BEST_FILE, LAST_FILE = "best.keras", "last.keras"  # weights of a run
SETTINGS_FILE, STATE_FILE, LOG_FILE, CURVES_FILE = "settings.json", "state.npz", "log.csv", "curves.png"
SNAPSHOTS_FILE = "snapshots.json"  # what a run made of one face in its first epochs
SEED = 7
INDEX_FILE = "index.json"  # what makes prepared faces valid
INDEX_VERSION = 1  # of it; raise it when its form changes
JOURNAL_FILE = "journal.jsonl"  # finished faces of a preparation
RECORDS_DIR = "records"  # training faces to stream
LABEL_COPIES = 4  # moved copies of each training face in the normalised labels
METRICS_FILE, PREDICTIONS_FILE = "metrics.json", "predictions.json"  # of an evaluation
CONTOUR_TRUTH_FILE = "truth.json"  # the true anchors and contours beside them
PICTURE_SIZE = 256  # pixels; of the crops in pictures, where no network says
EVALUATED_SPLITS = ("test", "private", "validation")
VALIDATION_SHARE = 0.2  # of a part at most, where less than the whole part is there
LEAST_RENDER_SIZE = 32  # pixels
SYNTHETIC_SEEDS = types.MappingProxyType({"train": 0, "test": 1_000_000_000})  # of each split's first rendered face


def truth_file(split: str) -> str:
    """The file with the true landmarks of a prepared split, as metrics.py reads it."""
    return f"truth_{split}.json"


def row_of(table: dict, name: str, kind: str):
    """The row of a table; `kind` says in the error what its rows are.

    Raises:
        ValueError: no such row.
    """
    if name not in table:
        raise ValueError(f"unknown {kind}. Received {name!r}; known: {', '.join(table)}")
    return table[name]


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
    reader: which reader of face_readers/ understands its files.
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

    @property
    def rendered(self) -> bool:
        """Whether the project renders its pictures."""
        return bool(self.render_size)


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
            parts=(Part("*.tem", "test", 102),),
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

    The head is global average pooling, dropout, and a linear layer of 2N outputs (He-uniform). `head_scale` multiplies
    the pooled features before that layer, and with it both what the head says at the start and what a step changes of
    it.
    `spatial` adds the places that maps on the backbone give (spatial_head.py).

    application: the Keras application that is its backbone; None for one of ours (pixelwise/vgg.py, ace_net/model.py).
    taps: its layers at an eighth and a sixteenth of the input, where heads that make maps take their shortcuts; none
        where it has no use without its own head.
    width: factor on every channel count of pixelwise/, of its backbone and of its heads.
    """

    arch: ModelArch
    application: str | None
    dropout: float
    stem: str
    taps: tuple[str, ...]
    input_size: int = 224
    head_scale: float = 1.0
    width: float = 1.0
    spatial: bool = False


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
# Evaluation
# --------------------------------------------------------------------------------------------------------------------

FAILURE_THRESHOLDS = (8.0, 10.0)  # NME in percent above which a face counts as failed; also the ends of AUC
WORST_FACES = 20  # how many faces the picture of failures shows
AUTHOR_AUC = (20, 10.0)  # the original author's own AUC: number of thresholds, and the last one, NME in percent
CONTOUR_AUC, CONTOUR_SHARE = 6.0, 1.25  # NME^AC in percent: end of the AUC, and below which a face is aligned finely
EVALUATION_BATCH = 32  # faces that go through the network at once
