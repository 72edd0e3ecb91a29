"""The facts of the project, as data: data sets, crops, networks, the constants of methods and pictures.

Nothing here reads a file or imports Keras. Code elsewhere holds no facts of its own: a data set's parts, a network's
head and a crop's padding are rows of the tables below, landmarks are rows of landmark_layouts.py, rates of recipes.py.
"""

import enum
import types
from dataclasses import dataclass

from landmark_layouts import FRL_FACE, LAYOUT_19, LAYOUT_29, LAYOUT_68, LAYOUT_98, LAYOUT_194, LAYOUT_FRL, Layout

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
INDEX_FILE = "index.json"  # what makes prepared faces valid
INDEX_VERSION = 1  # of it; raise it when its form changes
JOURNAL_FILE = "journal.jsonl"  # finished faces of a preparation
RECORDS_DIR, RECORDS_FILE = "records", "records.json"  # training faces to stream; the list of their files
RECORD_FACES = 4096  # in one file of records: ten million faces are 2,442 files, which reading keeps open
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


MAP_CHANNELS = 96  # of the features that the maps of spatial_head.py are made of
MAP_SPREAD = 0.05  # standard deviation of their first weights


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
    gap: pixels of the heatmap over which the traces of one contour are joined. end: a ridge ends where its heat falls
        below this share of its median.
    """

    strong: float = 0.3
    weak: float = 0.1
    anchor: float = 0.05
    gap: float = 24.0
    end: float = 0.5


EXTRACTION = Extraction()


# --------------------------------------------------------------------------------------------------------------------
# Evaluation
# --------------------------------------------------------------------------------------------------------------------

FAILURE_THRESHOLDS = (8.0, 10.0)  # NME in percent above which a face counts as failed; also the ends of AUC
WORST_FACES = 20  # how many faces the picture of failures shows
AUTHOR_AUC = (20, 10.0)  # the original author's own AUC: number of thresholds, and the last one, NME in percent
CONTOUR_AUC, CONTOUR_SHARE = 6.0, 1.25  # NME^AC in percent: end of the AUC, and below which a face is aligned finely
EVALUATION_BATCH = 32  # faces that go through the network at once

BOOTSTRAP_DRAWS = 10_000
BOOTSTRAP_INTERVAL = 0.95  # how often the interval of a difference shall hold the true one
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

    shift: largest distance of any landmark of any face, in pixels of the network's input; None for any. Not asked of
        maps, whose landmarks leap where two pixels are nearly as high.
    map_shift: largest difference of any value of the maps, as a share of their range; None for any.
    nme_ratio: its NME over that of the Keras network; None for any.
    """

    name: str
    shift: float | None = None
    map_shift: float | None = None
    nme_ratio: float | None = None


PRECISIONS = {
    precision.name: precision
    for precision in (
        Precision("float32", shift=1e-3, map_shift=1e-4, nme_ratio=1.001),
        Precision("float16", shift=0.25, map_shift=0.01, nme_ratio=1.01),
        Precision("int8", nme_ratio=1.03),
    )
}
