"""Face detectors: OpenCV's cascades, YuNet from its own file, boxes from a file, or the image itself as one face.

A detector is an object with one method, `detect(image, points, name)`. Its boxes lie around the landmarks of a network
with this number of points (from the brows to the chin for 68), not around what the detector itself calls a face. The
offset and the size between the two were measured on training faces (benchmarks/detector.py) and are constants of
inference/config.py.
"""

import json
import os
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple, Protocol

import cv2
import numpy as np

from config import CROPS, DEFAULT_CROP
from image_utility import box_corners, in_sight, overlap, shrink
from inference.config import CASCADES, DETECTION, SAME_OUTLINE, YUNET_FIT, BoxFit, DetectorConfig

MAX_DISTANCE = 1e6  # pixels from the corner of an image to an edge of a box; OpenCV opens hardly larger images
YUNET_OUTPUTS = {f"{kind}_{stride}" for kind in ("cls", "obj", "bbox", "kps") for stride in (8, 16, 32)}
BOXES_FORM = 'expected a list of {"image": NAME, "faces": [{"box": [left, top, right, bottom]}, ...]}'


class Detection(NamedTuple):
    """One detected face.

    Attributes:
        box: (left, top, right, bottom) around the landmarks, in image pixels.
        score: probability of a face, 0 to 1.
        landmarks: (points, 2) approximate landmarks in image pixels, or None.
    """

    box: np.ndarray
    score: float
    landmarks: np.ndarray | None = None

    @property
    def region(self) -> np.ndarray:
        """The points (n, 2) to crop around: the landmarks, or two corners of the box."""
        return box_corners(self.box) if self.landmarks is None else self.landmarks


class RawBox(NamedTuple):
    """One detection of a cascade, before it is fitted to the landmarks.

    Attributes:
        left: left edge in image pixels; in the mirrored image if `mirrored`.
        top: top edge in image pixels.
        side: side of the square in image pixels.
        weight: weight of the last stage.
        cascade: key of inference.config.CASCADES.
        mirrored: whether the face was found in the mirrored image.
    """

    left: float
    top: float
    side: float
    weight: float
    cascade: str
    mirrored: bool


class Detector(Protocol):
    """Interface of the detectors."""

    def detect(self, image: np.ndarray, points: int, name: str = "") -> list[Detection]:
        """Return the faces of an image, largest first.

        Args:
            image: uint8 RGB (height, width, 3).
            points: number of landmarks that the boxes enclose.
            name: file name of the image, for detectors that look boxes up; default: none.
        """
        ...


class CascadeDetector:
    """OpenCV's frontal cascade, and its profile cascade on the image and on the mirrored image.

    Args:
        settings: default: DETECTION.
    """

    def __init__(self, settings: DetectorConfig = DETECTION):
        self.settings = settings
        self._classifiers = {
            name: cv2.CascadeClassifier(os.path.join(cv2.data.haarcascades, row.file)) for name, row in CASCADES.items()
        }

    def detect(self, image: np.ndarray, points: int, name: str = "") -> list[Detection]:
        """See Detector.

        Raises:
            ValueError: no box was measured for this number of landmarks.
        """
        width, found = image.shape[1], []
        for raw in self.raw(image):
            row = CASCADES[raw.cascade]
            box = fitted_box(raw.left, raw.top, raw.side, raw.side, _get_fit(row.fits, points))
            if raw.mirrored:
                box = np.array([width - 1 - box[2], box[1], width - 1 - box[0], box[3]])
            slope, offset = row.score
            found.append(Detection(box, float(1 / (1 + np.exp(-slope * raw.weight - offset)))))
        return non_maximum_suppression(found, self.settings.overlap)

    def raw(self, image: np.ndarray) -> list[RawBox]:
        """Return the boxes of all cascades, overlapping ones included, of uint8 RGB (height, width, 3)."""
        settings = self.settings
        grey, scale, border = _prepare(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), settings)
        found = []
        for name, row in CASCADES.items():
            for mirrored in (False, True) if row.mirrored else (False,):
                boxes, _, weights = self._classifiers[name].detectMultiScale3(
                    np.ascontiguousarray(grey[:, ::-1]) if mirrored else grey,
                    scaleFactor=settings.step,
                    minNeighbors=settings.neighbours,
                    minSize=(settings.min_size, settings.min_size),
                    outputRejectLevels=True,
                )
                for (left, top, side, _), weight in zip(boxes, np.ravel(weights), strict=True):
                    if weight >= row.min_weight:
                        corner = (np.array([left, top]) - border) / scale
                        found.append(
                            RawBox(*corner.tolist(), float(side / scale.mean()), float(weight), name, mirrored)
                        )
        return found


class YuNetDetector:
    """YuNet, a small network that OpenCV runs from its .onnx file (face_detection_yunet of OpenCV's model zoo).

    Args:
        path: the .onnx file.
        settings: default: DETECTION.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: OpenCV cannot read it, or it is another network.
    """

    def __init__(self, path: str | os.PathLike, settings: DetectorConfig = DETECTION):
        if not Path(path).is_file():
            raise FileNotFoundError(f"{path}: no such file; expected face_detection_yunet_*.onnx of OpenCV's model zoo")
        self.settings = settings
        try:
            outputs = cv2.dnn.readNetFromONNX(str(path)).getUnconnectedOutLayersNames()
        except cv2.error as error:
            raise ValueError(f"{path} is not a network that OpenCV can read: {error.err}") from error
        if set(outputs) != YUNET_OUTPUTS:  # OpenCV accepts any network as YuNet, and crashes
            raise ValueError(f"{path} is not YuNet. Received outputs {outputs}; expected {sorted(YUNET_OUTPUTS)}")
        self._network = cv2.FaceDetectorYN.create(str(path), "", (320, 320), settings.yunet_score)

    def detect(self, image: np.ndarray, points: int, name: str = "") -> list[Detection]:
        """See Detector."""
        shrunk, scale, border = _prepare(cv2.cvtColor(image, cv2.COLOR_RGB2BGR), self.settings)
        self._network.setInputSize(shrunk.shape[1::-1])
        _, rows = self._network.detect(shrunk)  # (faces, 15): left, top, width, height, five points, score
        found = []
        for left, top, width, height, *_, score in [] if rows is None else rows.astype(np.float64):
            corner = (np.array([left, top]) - border) / scale
            found.append(Detection(fitted_box(*corner, width / scale[0], height / scale[1], YUNET_FIT), float(score)))
        return non_maximum_suppression(found, self.settings.overlap)


class NoDetector:
    """No detection: every image is one face, cut out as the default crop would be."""

    def detect(self, image: np.ndarray, points: int, name: str = "") -> list[Detection]:
        """See Detector."""
        height, width = image.shape[:2]
        crop = CROPS[DEFAULT_CROP]
        fit = BoxFit(width=1 / (1 + crop.left + crop.right), height=1 / (1 + crop.top + crop.bottom))
        return [Detection(fitted_box(-0.5, -0.5, width, height, fit), 1.0)]


class BoxesFromFile:
    """Boxes from a JSON file as predict.py writes it.

        [{"image": NAME, "faces": [{"box": [left, top, right, bottom]}, ...]}, ...]

    The boxes must enclose the landmarks, as those of predict.py do. An image is looked up by its name as given, then
    by its file name alone if that is unique in the file.

    Args:
        path: the .json file.

    Raises:
        OSError: the file cannot be read.
        ValueError: it has another form, an empty or extremely large box, or a score outside 0 to 1.
    """

    def __init__(self, path: str | os.PathLike):
        self.path, self._faces = path, {}
        try:
            for entry in json.loads(Path(path).read_bytes()):
                faces = [
                    Detection(np.array(face["box"], np.float64), float(face.get("score", 1.0)))
                    for face in entry["faces"]
                ]
                self._faces.setdefault(os.fspath(entry["image"]), faces)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError) as error:
            raise ValueError(f"{path} contains no boxes. Received {error!r}; {BOXES_FORM}") from error
        for name, faces in self._faces.items():
            for face in faces:
                _check_box(face, f"{path}, {name}")
        file_names = Counter(Path(name).name for name in self._faces)
        for name in list(self._faces):
            if file_names[Path(name).name] == 1:
                self._faces.setdefault(Path(name).name, self._faces[name])

    def detect(self, image: np.ndarray, points: int, name: str = "") -> list[Detection]:
        """See Detector.

        Raises:
            ValueError: the file has no entry for the image, or a box lies outside it.
        """
        faces = self._faces.get(name, self._faces.get(Path(name).name))
        if faces is None:
            raise ValueError(f"{self.path} has no boxes for {name!r}. Received {len(self._faces)} other names")
        outside = [face.box.tolist() for face in faces if not in_sight(face.region, image)]
        if outside:
            raise ValueError(f"{self.path}, {name}: the centre of a box lies outside the image. Received {outside}")
        return largest_first(faces)


def _check_box(face: Detection, source: str) -> None:
    """Raise ValueError for an invalid box or score; `source` names it in the error."""
    bounded = face.box.shape == (4,) and (np.abs(face.box) <= MAX_DISTANCE).all()  # False for NaN too
    if not bounded or not (face.box[2:] > face.box[:2]).all():
        raise ValueError(f"{source}: not a box. Received {face.box.tolist()}; {BOXES_FORM}")
    if not 0 <= face.score <= 1:
        raise ValueError(f"{source}: not a score. Received {face.score}; expected 0 to 1")


DETECTORS: dict[str, Callable[[], Detector]] = {"cascade": CascadeDetector, "none": NoDetector}


def get_detector(name: str) -> Detector:
    """Return a detector.

    Args:
        name: a key of DETECTORS, YuNet's .onnx file, or a .json file of boxes.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the name is unknown, or the file cannot be used.
    """
    if name in DETECTORS:
        return DETECTORS[name]()
    kinds = {".onnx": YuNetDetector, ".json": BoxesFromFile}
    if Path(name).suffix not in kinds:
        raise ValueError(
            f"unknown detector. Received {name!r}; known: {', '.join(DETECTORS)}, YuNet's .onnx file, a .json of boxes"
        )
    return kinds[Path(name).suffix](name)


def fitted_box(left: float, top: float, width: float, height: float, fit: BoxFit) -> np.ndarray:
    """Return the landmark box (left, top, right, bottom) of a detector's box.

    Args:
        left, top, width, height: the detector's box, in pixels.
        fit: the landmark box relative to it.
    """
    centre = np.array([left + (0.5 + fit.x) * width, top + (0.5 + fit.y) * height])
    half = np.array([fit.width * width, fit.height * height]) / 2
    return np.concatenate([centre - half, centre + half])


def _get_fit(fits: dict[int, BoxFit], points: int) -> BoxFit:
    """Return the row for a number of landmarks; ValueError if there is none."""
    points = SAME_OUTLINE.get(points, points)
    if points not in fits:
        raise ValueError(f"no box was measured for this number of landmarks. Received {points}; known: {list(fits)}")
    return fits[points]


def _prepare(image: np.ndarray, settings: DetectorConfig) -> tuple[np.ndarray, np.ndarray, int]:
    """Shrink an image to the pixels that are searched and add a border of repeated pixels.

    Returns:
        the image, the factors (2,) from old to new pixels in x and y, and the width of the border in new pixels.
    """
    height, width = image.shape[:2]
    small, matrix = shrink(image, np.sqrt(settings.pixels / (width * height)))
    border = max(1, round(settings.border * np.sqrt(small.shape[0] * small.shape[1])))
    padded = cv2.copyMakeBorder(small, border, border, border, border, cv2.BORDER_REPLICATE)
    return padded, np.diag(matrix[:, :2]).copy(), border


def non_maximum_suppression(found: list[Detection], max_overlap: float) -> list[Detection]:
    """Return the faces without those that overlap a face of a higher score, largest first.

    Args:
        found: the faces.
        max_overlap: intersection over union above which the face with the lower score is dropped, 0 to 1.
    """
    kept: list[Detection] = []
    # not cv2.dnn.NMSBoxes: it takes scores as float32, in which those of sure faces are all 1
    for face in sorted(found, key=lambda face: -face.score):
        if not kept or overlap(face.box, np.stack([other.box for other in kept])).max() <= max_overlap:
            kept.append(face)
    return largest_first(kept)


def largest_first(found: Iterable[Detection]) -> list[Detection]:
    """Return the faces by decreasing area of their boxes; equal ones keep their order."""
    return sorted(found, key=lambda face: -np.prod(face.box[2:] - face.box[:2]))
