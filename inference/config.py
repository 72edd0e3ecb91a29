"""Constants of prediction: face detection, test-time augmentation, confidence, tracking, video files."""

import types
from dataclasses import dataclass

from face_datasets.layouts import FRL_FACE

MIN_VIDEO_FRACTION = 0.98  # of the announced frames; a video with fewer was truncated. Containers miscount a little
CAMERA = "camera"  # as an input of predict.py
CAMERA_FRAME_RATE = 30.0  # frames/s of a camera, and of a video without a valid frame rate
VIDEO_CODEC = "mp4v"  # included in OpenCV's packages


@dataclass(frozen=True)
class BoxFit:
    """Landmark box relative to a detector's box, in units of the detector's box; means over training faces.

    Attributes:
        x: horizontal offset of the centre.
        y: vertical offset of the centre.
        width: width of the landmark box.
        height: height of the landmark box.
    """

    x: float = 0.0
    y: float = 0.0
    width: float = 1.0
    height: float = 1.0


@dataclass(frozen=True)
class Cascade:
    """One of OpenCV's cascade classifiers.

    Attributes:
        file: file name in OpenCV's own folder.
        mirrored: whether to search the mirrored image too, for a classifier of faces turned to one side.
        min_weight: last-stage weight below which detections are dropped.
        score: slope and offset of the logistic function from weight to the probability of a face.
        fits: number of landmarks -> their box relative to the detected box.
    """

    file: str
    mirrored: bool
    min_weight: float
    score: tuple[float, float]
    fits: dict[int, BoxFit]


# python -m benchmarks.detector --dataset 300W --raw DIR   (training faces; --dataset COFW for 29 landmarks)
# 98 landmarks (WFLW) follow the same outline as 68.
CASCADES = {
    "frontal": Cascade(
        "haarcascade_frontalface_alt2.xml",
        mirrored=False,
        min_weight=0.0,
        score=(2.038, -111.99),
        fits={68: BoxFit(0.003, 0.143, 0.871, 0.844), 29: BoxFit(-0.007, 0.138, 0.646, 0.822)},
    ),
    "profile": Cascade(
        "haarcascade_profileface.xml",
        mirrored=True,
        min_weight=1.0,
        score=(0.661, 0.90),
        fits={68: BoxFit(-0.108, 0.150, 0.794, 0.761), 29: BoxFit(-0.162, 0.149, 0.582, 0.752)},
    ),
}
# Number of landmarks -> number of landmarks with the same box, from brows to chin; not measured for AFLW's 19
SAME_OUTLINE = types.MappingProxyType({98: 68, 194: 68, len(FRL_FACE): 68, 19: 29})
YUNET_FIT = BoxFit()  # not measured, because YuNet's file was not available; the second pass compensates for it


@dataclass(frozen=True)
class DetectorConfig:
    """Settings of the face detectors.

    Attributes:
        pixels: number of pixels to which a larger image is shrunk, since the cascades' time grows with it.
        border: width of the border of repeated pixels, as a fraction of the square root of the image's area. Cascades
            need space around a face.
        step: factor between the scales that are searched.
        neighbours: minimum number of agreeing windows.
        min_size: minimum side of a face, in pixels of the shrunk image.
        overlap: intersection over union above which the box with the lower score is dropped.
        yunet_score: minimum score of YuNet's detections.
    """

    pixels: int = 600_000
    border: float = 0.15
    step: float = 1.1
    neighbours: int = 3
    min_size: int = 30
    overlap: float = 0.3
    yunet_score: float = 0.7


DETECTION = DetectorConfig()
REFINEMENT_PASSES = 2  # the second pass crops around the landmarks of the first


@dataclass(frozen=True)
class View:
    """One view of a face for test-time augmentation (TTA).

    Attributes:
        rotation: degrees.
        scale: factor.
        shift: x and y, as fractions of the crop size.
        flip: whether the view is mirrored.
    """

    rotation: float = 0.0
    scale: float = 1.0
    shift: tuple[float, float] = (0.0, 0.0)
    flip: bool = False


SINGLE_VIEW = (View(),)  # the crop itself
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
CONFIDENT_ERROR = 5.0  # percent of the data set's normaliser; confidence is the probability of at most this error
CONFIDENCE_SUFFIX = ".confidence.json"  # calibration beside the weights: best.keras, best.confidence.json
CONFIDENCE_SLOPE, CONFIDENCE_OFFSET = -1.39, -5.76  # of weights without a calibration of their own
CONFIDENCE_BINS = 10  # of the reliability plot
OCCLUDER_FRACTION = 0.4  # side of the occluder in calibration, as a fraction of the side of the landmark box


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
