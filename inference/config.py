"""The facts of pictures and videos: finding faces, how sure landmarks are, following faces."""

import types
from dataclasses import dataclass

from face_datasets.layouts import FRL_FACE

WHOLE_VIDEO = 0.98  # a video with a smaller share of the frames it announces was cut; containers miscount a little
CAMERA = "camera"  # as an input of predict.py
CAMERA_FRAME_RATE = 30.0  # frames/s where a camera or a video does not tell
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


# python -m benchmarks.detector --dataset 300W --raw DIR   (training faces; --dataset COFW for 29 landmarks)
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
class DetectorConfig:
    """How faces are looked for.

    pixels: a larger picture is shrunk to this many, since the cascades' time grows with them. border: repeated pixels
        around it, since cascades want room around a face; a share of its side (the square root of its area).
    step: factor between the sizes looked for. neighbours: least number of agreeing windows. min_size: of a face, in
        pixels of the shrunk picture.
    overlap: of two boxes that overlap by a larger share (intersection over union) the one with the lower score goes.
    yunet_score: least score of YuNet.
    """

    pixels: int = 600_000
    border: float = 0.15
    step: float = 1.1
    neighbours: int = 3
    min_size: int = 30
    overlap: float = 0.3
    yunet_score: float = 0.7


DETECTION = DetectorConfig()
REFINEMENT_PASSES = 2  # the second crop lies around the landmarks that the first one gave


@dataclass(frozen=True)
class View:
    """One way to show a face to the network again: degrees, factor, shares of the crop's side, mirrored or not."""

    rotation: float = 0.0
    scale: float = 1.0
    shift: tuple[float, float] = (0.0, 0.0)
    flip: bool = False


TTA_VIEWS = (
    View(),
    View(flip=True),
    View(rotation=10),
    View(rotation=-10),
    View(scale=1.08),
    View(shift=(0.04, 0)),
    View(shift=(-0.04, 0)),
    View(shift=(0, 0.04)),
)
CONFIDENT_ERROR = 5.0  # percent of the data set's normaliser: confidence is the probability of an error no larger
CONFIDENCE_SUFFIX = ".confidence.json"  # calibration beside the weights: best.keras, best.confidence.json
CONFIDENCE_SLOPE, CONFIDENCE_OFFSET = -1.39, -5.76  # of weights without a file of their own
CONFIDENCE_BINS = 10  # of the reliability plot
OCCLUDER_FRACTION = 0.4  # side of the patch that covers a face in calibration, as a share of the face's box


@dataclass(frozen=True)
class TrackerConfig:
    """Settings for following faces through a video.

    Attributes:
        detection_interval: frames between two detections of new faces.
        min_confidence: mean confidence below which a face is lost, 0 to 1.
        max_scale_change: factor by which a face's box may grow or shrink from frame to frame.
        overlap: intersection over union above which the younger of two tracks is dropped, 0 to 1.
        cutoff: cutoff frequency of the One-Euro filter at rest, in Hz.
        beta: increase of the cutoff with speed, in Hz per face size/s.
        speed_cutoff: cutoff frequency of the filter's speed, in Hz.
    """

    detection_interval: int = 30
    min_confidence: float = 0.3
    max_scale_change: float = 1.6
    overlap: float = 0.5
    cutoff: float = 1.0
    beta: float = 20.0
    speed_cutoff: float = 3.0


TRACKING = TrackerConfig()
