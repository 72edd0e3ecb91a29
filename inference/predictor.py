"""From an image to faces with landmarks and confidence, in three stages: detect and crop, predict, map back.

faces = Predictor("runs/acr/best.keras").predict("photo.jpg")
faces[0].landmarks, faces[0].confidence  # (points, 2) in pixels of the upright picture, (points,) 0 to 1
"""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ace_net.outlines import join_landmarks
from config import EVALUATION_BATCH, SETTINGS_FILE, WEIGHTS_DIR, get_crop
from face_datasets.catalogue import DATASETS, get_dataset
from image_utility import crop_image, in_sight, landmark_box, overlap, to_network
from inference.confidence import load_calibration, map_back, tta_matrices, tta_std
from inference.config import REFINEMENT_PASSES, TTA_VIEWS, View
from inference.face_detector import CascadeDetector, Detection, Detector
from inference.network import LandmarkNetwork, load_network
from utils.image_files import read_untrusted_image

UNKNOWN = (np.inf, np.inf)  # rank of weights that do not tell how good they are


@dataclass(frozen=True)
class Face:
    """One face of an image.

    landmarks: (points, 2) in image pixels. box: (left, top, right, bottom) that it was looked for in.
    score: how sure the detector was, 0 to 1. confidence: (points,) probability that a landmark is right to
    CONFIDENT_ERROR percent, or None where it was not asked for. track: in a video, the number it keeps.
    outline: anchors and contours (OUTLINE, 2) as ace_net/outlines.py has them, NaN where none was found; the landmarks
    of a network that predicts contours are those of its anchors that were found.
    """

    landmarks: np.ndarray
    box: np.ndarray
    score: float
    confidence: np.ndarray | None
    track: int | None = None
    outline: np.ndarray | None = None


class Predictor:
    """Finds faces and their landmarks.

    Args:
        weights: a .keras, .h5, .onnx or .tflite file, or a network that is open already; the best file in
            pre_trained_models/ where None.
        detector: what finds the faces; OpenCV's cascades where None.
        confidence: show each face to the network several times; the landmarks are the mean, their agreement gives the
            confidence. Without, prediction is several times as fast, and less exact.

    Raises:
        FileNotFoundError: no such weights.
        ValueError: weights that cannot be read.
    """

    def __init__(
        self,
        weights: str | os.PathLike | LandmarkNetwork | None = None,
        detector: Detector | None = None,
        confidence: bool = True,
    ):
        named = weights is None or isinstance(weights, (str, os.PathLike))
        self.network = load_network(weights or best_weights()) if named else weights
        self.layout = self.network.layout
        confidence = confidence and self.network.codec.complete  # points of a contour slide from view to view
        self.detector = detector or CascadeDetector()
        self._calibration = load_calibration(self.network.path, self.network.points) if confidence else None
        self._copies = TTA_VIEWS if confidence else (View(),)

    def predict(self, image: np.ndarray | str | os.PathLike) -> list[Face]:
        """The faces of one picture, largest first.

        Args:
            image: uint8 RGB (height, width, 3), or the path of a picture file.

        Raises:
            OSError, ValueError: the file is no picture, or the array has another form.
        """
        name = os.fspath(image) if isinstance(image, (str, os.PathLike)) else ""
        image = read_untrusted_image(name) if name else image
        return self.predict_boxes([image], [self.detect(image, name)])[0]

    def detect(self, image: np.ndarray, name: str = "") -> list[Detection]:
        """Boxes of the faces in an image, each about where its landmarks will lie.

        Raises:
            ValueError: the image has another form.
        """
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
            raise ValueError(
                f"wrong image {name}. Received shape {image.shape}, type {image.dtype}; (height, width, 3) of uint8, "
                "RGB, is right"
            )
        landmarks = get_dataset(self.network.dataset).layout.points
        found = self.detector.detect(image, landmarks, name)
        return [face for face in found if in_sight(face.region, image)]  # not in a border that a detector added

    def predict_boxes(
        self, images: Sequence[np.ndarray], found: Sequence[Sequence[Detection]], passes: int = REFINEMENT_PASSES
    ) -> list[list[Face]]:
        """Landmarks of faces that were found already; all faces of all images go through the network together.

        Args:
            images: uint8 RGB (height, width, 3) each. found: the faces of each. passes: every pass but the first crops
                around the landmarks of the one before; only the last one sees copies.
        """
        of_image = [number for number, faces in enumerate(found) for _ in faces]
        faces = [face for of_one in found for face in of_one]
        if not faces:
            return [[] for _ in images]
        around, codec = [face.region for face in faces], self.network.codec
        for number in range(passes):
            copies = self._copies if number == passes - 1 else (View(),)
            crops, matrices = self.crop([images[i] for i in of_image], around, copies)
            predicted = self.map_back(self.forward(crops), matrices, copies)  # (faces, copies, points, 2)
            landmarks = predicted.mean(axis=1)
            outer = codec.region(landmarks)  # what the next crop is cut around
            try:
                landmarks = codec.landmarks(landmarks)
            except ValueError as error:
                raise ValueError(f"{self.network.path} {error}") from error
            if number < passes - 1:
                around = [
                    _next_region(points, region, images[i])
                    for points, region, i in zip(outer, around, of_image, strict=True)
                ]
        confidence = [None] * len(faces)
        if self._calibration:
            confidence = self._calibration.confidence(tta_std(predicted))  # (faces, points)
        result: list[list[Face]] = [[] for _ in images]
        outlines = codec.outlines(predicted[:, 0])
        for i, points, face, sure, outline in zip(of_image, landmarks, faces, confidence, outlines, strict=True):
            result[i].append(Face(points, face.box, face.score, sure, outline=outline))
        return result

    def outlined(self, faces: Sequence[Face]) -> list[Face]:
        """The faces with anchors and contours; those of a landmark network are splines through its landmarks.

        Raises:
            ValueError: the landmarks draw no contours.
        """
        return [face if face.outline is not None else self._join(face) for face in faces]

    def _join(self, face: Face) -> Face:
        """The face with splines through its landmarks."""
        return replace(face, outline=join_landmarks(face.landmarks[None], self.layout, "interp")[0])

    def crop(
        self, images: Sequence[np.ndarray], around: Sequence[np.ndarray], copies: tuple[View, ...]
    ) -> tuple[np.ndarray, np.ndarray]:
        """First step of a pass: every copy of every face, cut out of one image around one region for each face.

        Returns:
            uint8 crops (faces * copies, size, size, 3), and the matrices (faces, copies, 2, 3) to their pixels.
        """
        size, crop = self.network.input_size, get_crop(self.network.crop)
        moves = tta_matrices(copies, size)
        crops, matrices = zip(
            *(crop_image(image, crop, region, size, moves) for image, region in zip(images, around, strict=True)),
            strict=True,
        )
        return np.concatenate(crops), np.stack(matrices)

    def forward(self, crops: np.ndarray) -> np.ndarray:
        """Second step: what the network says of uint8 crops (n, size, size, 3), (n, points, 2) in crop pixels."""
        starts = range(0, len(crops), EVALUATION_BATCH)
        batches = (to_network(crops[start : start + EVALUATION_BATCH]) for start in starts)
        return np.concatenate([self.network.predict(batch) for batch in batches])

    def map_back(self, predicted: np.ndarray, matrices: np.ndarray, copies: tuple[View, ...]) -> np.ndarray:
        """Third step: landmarks (faces, copies, points, 2) in image pixels, of those (faces * copies, points, 2) in
        the pixels of crops with these matrices (faces, copies, 2, 3)."""
        predicted = predicted.reshape(*matrices.shape[:2], -1, 2)
        return map_back(predicted, matrices, self.layout, copies)


def _next_region(landmarks: np.ndarray, before: np.ndarray, image: np.ndarray) -> np.ndarray:
    """What the next pass crops around: the landmarks, or what was before where they have left it or the image, or where
    a contour was not found."""
    if not np.isfinite(landmarks).all():
        return before
    stayed = overlap(landmark_box(landmarks), landmark_box(before))[0] > 0 and in_sight(landmarks, image)
    return landmarks if stayed else before


def get_rank(weights: Path) -> tuple[float, float]:
    """How good a weights file says to be: its data set's row in config.py, its validation NME; or UNKNOWN.

    The record is that of `networks.weights.get_settings`: beside the file, or settings.json in its folder.
    """
    order = [dataset.title for dataset in DATASETS.values()]
    beside = weights.with_suffix(".json")
    try:
        record = json.loads((beside if beside.is_file() else weights.parent / SETTINGS_FILE).read_bytes())
        return order.index(record["settings"]["dataset"]), float(record["validation"]["nme"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return UNKNOWN


def best_weights(folder: str | os.PathLike = WEIGHTS_DIR) -> Path:
    """The weights below a folder of the lowest validation NME, 300W before other data sets.

    Raises:
        FileNotFoundError: there are none that say how good they are.
    """
    known = sorted((get_rank(file), file) for file in Path(folder).rglob("*.keras"))
    if not known or known[0][0] == UNKNOWN:
        raise FileNotFoundError(
            f"no weights in {folder}. Name a file with --weights, or train: python train.py --dataset 300W "
            "--save-path runs/acr, then --weights runs/acr/best.keras"
        )
    return known[0][1]
