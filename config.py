"""Names and constants that several folders use: files, data sets, crops, networks, losses.

Nothing here reads a file or imports the project. Constants with one user are defined beside it: data sets in
face_datasets/catalogue.py, networks in cnn_model.py, recipes in training/recipes.py, and the constants of one folder in
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

DATA_DIR = "data"  # default data root
ROOT = Path(__file__).resolve().parent
WEIGHTS_DIR = ROOT / "pre_trained_models"
EXPORT_SUFFIXES = types.MappingProxyType({"onnx": ".onnx", "litert": ".tflite"})  # format -> suffix of its files
PACKAGE = "acr"  # name under which our own classes are registered with Keras
RUNS_DIR = "runs"
BEST_FILE, LAST_FILE = "best.keras", "last.keras"  # weights of a run
SETTINGS_FILE, STATE_FILE, LOG_FILE, CURVES_FILE = "settings.json", "state.npz", "log.csv", "curves.png"
SNAPSHOTS_FILE = "snapshots.json"  # predictions of one face in the first epochs of a run
SEED = 7
INDEX_FILE = "index.json"  # makes prepared faces valid
INDEX_VERSION = 1  # of INDEX_FILE; to be raised when its form changes
JOURNAL_FILE = "journal.jsonl"  # finished faces of a preparation
RECORDS_DIR = "records"  # training faces for streaming
METRICS_FILE, PREDICTIONS_FILE = "metrics.json", "predictions.json"  # of an evaluation


def get_row(table: dict, name: str, kind: str):
    """Return the row of a table.

    Args:
        table: name -> row.
        name: of the row.
        kind: of the rows, for the error ("crop", "recipe", ...).

    Raises:
        ValueError: there is no such row; the message lists the names.
    """
    if name not in table:
        raise ValueError(f"unknown {kind}. Received {name!r}; known: {', '.join(table)}")
    return table[name]


# --------------------------------------------------------------------------------------------------------------------
# Data sets
# --------------------------------------------------------------------------------------------------------------------


class DatasetName(enum.StrEnum):
    """The data sets; a value is the name of the folder below the data root."""

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
    """A prepared face on disk: a square region around its box, upright, JPEG.

    Args:
        context: side of the region in units of the box's longer side; 2.8 contains every crop below under the rotation,
            shift and scale of the recipes.
        box_pixels: upper limit of the box's longer side, to which it is shrunk; it is never enlarged.
        jpeg_quality: of the file.
        largest_box: limit of the box's longer side in units of the image's; larger ones are wrong annotations.
    """

    context: float = 2.8
    box_pixels: int = 224
    jpeg_quality: int = 95
    largest_box: float = 2.0


STORED_FACE = StoredFace()


@dataclass(frozen=True)
class Crop:
    """The region of a network's input, from a box (left, top, right, bottom).

    Args:
        name: of the crop.
        left, right: padding as fractions of the box's width.
        top, bottom: padding as fractions of the box's height.
        pixels: additional padding in image pixels.
        centre: of the region, "box" or "centroid" of the landmarks.
        square: whether both sides get the longer one's length, around the same centre; otherwise the region is
            stretched.
        scale: factor on the sides.
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
    """Return the row of a crop.

    Raises:
        ValueError: no such crop.
    """
    return get_row(CROPS, name, "crop")


# --------------------------------------------------------------------------------------------------------------------
# Networks
# --------------------------------------------------------------------------------------------------------------------


class ModelArch(enum.StrEnum):
    """The networks; a value is the command-line string, for the first three the original's.

    ResNet-50 and DenseNet-121 are networks of the anisotropic loss's paper (Keras has no Wide ResNet). VGG19 is
    that of pixel-wise classification, VGG19-small has a quarter of its width, ACE-Net is for heatmaps only.
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

LOSS_REFERENCE_SIZE = 224  # pixels; constants of losses are in pixels of a crop of this size, for any network input
ANISOTROPY = (5.0, 3.0)  # a, b; b is published, a is garbled in our copy of the text and 5 is a reading of it


# --------------------------------------------------------------------------------------------------------------------
# Evaluation
# --------------------------------------------------------------------------------------------------------------------

FAILURE_THRESHOLDS = (8.0, 10.0)  # NME in percent above which a face counts as failed; also the limits of AUC
EVALUATION_BATCH = 32  # faces per forward pass
