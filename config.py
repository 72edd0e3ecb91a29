"""Names that several folders share: files, data sets, crops, networks, constants.

Nothing here reads a file or imports the project. Facts with one reader stand with it: data sets in
face_datasets/catalogue.py, networks in cnn_model.py, recipes in training/recipes.py, and the numbers of one folder in
its own config.py.
"""

import enum
import types
from dataclasses import dataclass
from pathlib import Path

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


DATA_DIR = "data"  # the data root, unless --data-dir or --out says otherwise
ROOT = Path(__file__).resolve().parent
WEIGHTS_DIR = ROOT / "pre_trained_models"
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
METRICS_FILE, PREDICTIONS_FILE = "metrics.json", "predictions.json"  # of an evaluation


def get_row(table: dict, name: str, kind: str):
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


def get_crop(name: str) -> Crop:
    """The row of a crop.

    Raises:
        ValueError: no such crop.
    """
    return get_row(CROPS, name, "crop")


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


# --------------------------------------------------------------------------------------------------------------------
# ACR Loss
# --------------------------------------------------------------------------------------------------------------------

ACR_LAMBDA = 2.0  # the paper's value is unknown; 2 makes the slope continuous at an error of 1 for phi = 0
PCA_PERCENTAGES = (80, 85, 90, 95, 97)


# --------------------------------------------------------------------------------------------------------------------
# Point losses
# --------------------------------------------------------------------------------------------------------------------

LOSS_REFERENCE_SIZE = (
    224  # side in pixels of the crop in whose pixels the numbers below are meant, whatever the network's input
)
ANISOTROPY = (5.0, 3.0)  # a, b; b is published, a is garbled in our copy of the text and 5 is a reading of it


# --------------------------------------------------------------------------------------------------------------------
# Evaluation
# --------------------------------------------------------------------------------------------------------------------

FAILURE_THRESHOLDS = (8.0, 10.0)  # NME in percent above which a face counts as failed; also the ends of AUC
EVALUATION_BATCH = 32  # faces that go through the network at once
