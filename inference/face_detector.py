"""Finding faces: OpenCV's own cascades, YuNet where its file is given, boxes from a file, or the whole image.

Every detector has one call, `detect(image, points, name)`. Its boxes lie around the landmarks of a network of so many
points (from the brows to the chin for 68), not around what the detector itself takes for a face. How the two lie to
each other was measured on training faces (benchmarks/detector.py) and stands in inference/config.py.
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

MAX_DISTANCE = 1e6  # pixels from a picture's corner to a box's edge; OpenCV opens no picture much wider
YUNET_OUTPUTS = {f"{kind}_{stride}" for kind in ("cls", "obj", "bbox", "kps") for stride in (8, 16, 32)}


class Detection(NamedTuple):
    """A box (left, top, right, bottom) around the landmarks in image pixels, and how sure it is to be a face, 0 to 1.

    landmarks: (points, 2), where they are known about already.
    """

    box: np.ndarray
    score: float
    landmarks: np.ndarray | None = None

    @property
    def region(self) -> np.ndarray:
        """What to crop around: the landmarks, or the box's corners (2, 2)."""
        return box_corners(self.box) if self.landmarks is None else self.landmarks


class RawBox(NamedTuple):
    """What a cascade itself says: left, top and side in image pixels, its last-stage weight, and its row's name.

    mirrored: it was found in the mirror image, in whose pixels the box is.
    """

    left: float
    top: float
    side: float
    weight: float
    cascade: str
    mirrored: bool


class Detector(Protocol):
    """What every detector can do."""

    def detect(self, image: np.ndarray, points: int, name: str = "") -> list[Detection]:
        """The faces in an image, largest first.

        Args:
            image: uint8 RGB (height, width, 3). points: number of landmarks the boxes shall lie around.
            name: of the image, for detectors that look boxes up.
        """
        ...


class CascadeDetector:
    """OpenCV's frontal cascade, and its profile cascade on the image and on its mirror image."""

    def __init__(self, settings: DetectorConfig = DETECTION):
        self.settings = settings
        self._classifiers = {
            name: cv2.CascadeClassifier(os.path.join(cv2.data.haarcascades, row.file)) for name, row in CASCADES.items()
        }

    def detect(self, image: np.ndarray, points: int, name: str = "") -> list[Detection]:
        """See Detector."""
        width, found = image.shape[1], []
        for raw in self.raw(image):
            row = CASCADES[raw.cascade]
            box = fitted_box(raw.left, raw.top, raw.side, raw.side, _fit(row.fits, points))
            if raw.mirrored:
                box = np.array([width - 1 - box[2], box[1], width - 1 - box[0], box[3]])
            slope, offset = row.score
            found.append(Detection(box, float(1 / (1 + np.exp(-slope * raw.weight - offset)))))
        return _one_each(found, self.settings.overlap)

    def raw(self, image: np.ndarray) -> list[RawBox]:
        """Every box of every cascade, as it is."""
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
                    if weight >= row.least:
                        place = (np.array([left, top]) - border) / scale
                        found.append(RawBox(*place.tolist(), float(side / scale.mean()), float(weight), name, mirrored))
        return found


class YuNetDetector:
    """YuNet, a small network that OpenCV runs from its own .onnx file (face_detection_yunet of OpenCV's model zoo).

    Raises:
        FileNotFoundError: no such file.
        ValueError: OpenCV cannot read it, or it is another network.
    """

    def __init__(self, path: str | os.PathLike, settings: DetectorConfig = DETECTION):
        if not Path(path).is_file():
            raise FileNotFoundError(f"{path}: no such file; face_detection_yunet_*.onnx of OpenCV's model zoo is right")
        self.settings = settings
        try:
            outputs = cv2.dnn.readNetFromONNX(str(path)).getUnconnectedOutLayersNames()
        except cv2.error as error:
            raise ValueError(f"{path} is not a network OpenCV can read: {error.err}") from error
        if set(outputs) != YUNET_OUTPUTS:  # OpenCV takes any network for YuNet, and crashes
            raise ValueError(f"{path} is not YuNet. Received outputs {outputs}; {sorted(YUNET_OUTPUTS)} are right")
        self._network = cv2.FaceDetectorYN.create(str(path), "", (320, 320), settings.yunet_score)

    def detect(self, image: np.ndarray, points: int, name: str = "") -> list[Detection]:
        """See Detector."""
        shrunk, scale, border = _prepare(cv2.cvtColor(image, cv2.COLOR_RGB2BGR), self.settings)
        self._network.setInputSize(shrunk.shape[1::-1])
        _, rows = self._network.detect(shrunk)  # (faces, 15): left, top, width, height, five points, score
        found = []
        for left, top, width, height, *_, score in [] if rows is None else rows.astype(np.float64):
            place = (np.array([left, top]) - border) / scale
            found.append(Detection(fitted_box(*place, width / scale[0], height / scale[1], YUNET_FIT), float(score)))
        return _one_each(found, self.settings.overlap)


class NoDetector:
    """For pictures that show one face each, cut as the default crop cuts it."""

    def detect(self, image: np.ndarray, points: int, name: str = "") -> list[Detection]:
        """See Detector."""
        height, width = image.shape[:2]
        crop = CROPS[DEFAULT_CROP]
        fit = BoxFit(width=1 / (1 + crop.left + crop.right), height=1 / (1 + crop.top + crop.bottom))
        return [Detection(fitted_box(-0.5, -0.5, width, height, fit), 1.0)]


class BoxesFromFile:
    """Boxes that stand in a file of predict.py's form: [{"image": NAME, "faces": [{"box": [l, t, r, b]}, ...]}, ...].

    The boxes must lie around the landmarks; what predict.py itself wrote does. An image is looked up by its whole name,
    or else by its last part where only one image has it.

    Raises:
        OSError: the file cannot be read.
        ValueError: it has another form, a box without extent or absurdly large, or a score outside 0 to 1.
    """

    def __init__(self, path: str | os.PathLike):
        form = 'a list of {"image": NAME, "faces": [{"box": [left, top, right, bottom]}, ...]} is right'
        self.path, self._faces = path, {}
        try:
            for entry in json.loads(Path(path).read_bytes()):
                faces = [
                    Detection(np.array(face["box"], np.float64), float(face.get("score", 1.0)))
                    for face in entry["faces"]
                ]
                self._faces.setdefault(os.fspath(entry["image"]), faces)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError) as error:
            raise ValueError(f"{path} holds no boxes. Received {error!r}; {form}") from error
        for name, faces in self._faces.items():
            for face in faces:
                sane = face.box.shape == (4,) and (np.abs(face.box) <= MAX_DISTANCE).all()  # False for NaN too
                if not sane or not (face.box[2:] > face.box[:2]).all():
                    raise ValueError(f"{path}, {name}: not a box. Received {face.box.tolist()}; {form}")
                if not 0 <= face.score <= 1:
                    raise ValueError(f"{path}, {name}: not a score. Received {face.score}; 0 to 1 is right")
        last_parts = Counter(Path(name).name for name in self._faces)
        for name in list(self._faces):
            if last_parts[Path(name).name] == 1:
                self._faces.setdefault(Path(name).name, self._faces[name])

    def detect(self, image: np.ndarray, points: int, name: str = "") -> list[Detection]:
        """See Detector.

        Raises:
            ValueError: the file does not name the image, or a box lies outside it.
        """
        for known in (name, Path(name).name):
            if known in self._faces:
                outside = [face.box.tolist() for face in self._faces[known] if not in_sight(face.region, image)]
                if outside:
                    raise ValueError(
                        f"{self.path}, {name}: the middle of a box lies outside the image. Received {outside}"
                    )
                return largest_first(self._faces[known])
        raise ValueError(f"{self.path} names no boxes of {name!r}. Received {len(self._faces)} other names")


DETECTORS: dict[str, Callable[[], Detector]] = {"cascade": CascadeDetector, "none": NoDetector}


def get_detector(name: str) -> Detector:
    """A detector by its name, or by a file: YuNet's .onnx, or a .json of boxes.

    Raises:
        FileNotFoundError: no such file.
        ValueError: no such detector, or a file that is none.
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
    """The landmarks' box (left, top, right, bottom) in a detector's box."""
    centre = np.array([left + (0.5 + fit.x) * width, top + (0.5 + fit.y) * height])
    half = np.array([fit.width * width, fit.height * height]) / 2
    return np.concatenate([centre - half, centre + half])


def _fit(fits: dict[int, BoxFit], points: int) -> BoxFit:
    """The row for so many landmarks."""
    points = SAME_OUTLINE.get(points, points)
    if points not in fits:
        raise ValueError(f"no detector box was measured for so many landmarks. Received {points}; known: {list(fits)}")
    return fits[points]


def _prepare(image: np.ndarray, settings: DetectorConfig) -> tuple[np.ndarray, np.ndarray, int]:
    """The image shrunk to the pixels that are looked through, with a border of repeated pixels.

    Returns:
        The image, the factors (2,) from old to new pixels in x and y, and the border in new pixels.
    """
    height, width = image.shape[:2]
    small, matrix = shrink(image, np.sqrt(settings.pixels / (width * height)))
    border = max(1, round(settings.border * np.sqrt(small.shape[0] * small.shape[1])))
    around = cv2.copyMakeBorder(small, border, border, border, border, cv2.BORDER_REPLICATE)
    return around, np.diag(matrix[:, :2]).copy(), border


def _one_each(found: list[Detection], most: float) -> list[Detection]:
    """Of boxes that overlap more than `most` only the one of the highest score; largest first."""
    kept: list[Detection] = []
    for face in sorted(found, key=lambda face: -face.score):
        if not kept or overlap(face.box, np.stack([other.box for other in kept])).max() <= most:
            kept.append(face)
    return largest_first(kept)


def largest_first(found: Iterable[Detection]) -> list[Detection]:
    """The faces by the area of their boxes; of equal ones the first stays the first."""
    return sorted(found, key=lambda face: -np.prod(face.box[2:] - face.box[:2]))
