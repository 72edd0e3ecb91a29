"""From an image to faces with landmarks and confidence, in three stages: detect and crop, predict, map back.

    faces = Predictor("runs/acr/best.keras").predict("photo.jpg")
    faces[0].landmarks, faces[0].confidence  # (points, 2) in pixels of the upright picture, (points,) from 0 to 1

Coordinates are 0-based: (0, 0) is the centre of the upper left pixel.
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
from inference.config import REFINEMENT_PASSES, SINGLE_VIEW, TTA_VIEWS, View
from inference.face_detector import CascadeDetector, Detection, Detector
from inference.network import LandmarkNetwork, load_network
from utils.image_files import read_untrusted_image

UNRANKED = (np.inf, np.inf)  # rank of weights without a validation NME


@dataclass(frozen=True)
class Face:
    """One face of an image.

    Attributes:
        landmarks: (points, 2) in image pixels; for a network that predicts contours, its anchors that were found.
        box: (left, top, right, bottom) of the detector in image pixels.
        score: probability of a face according to the detector, 0 to 1.
        confidence: (points,) probability that the error of a landmark is at most CONFIDENT_ERROR percent of the
            normaliser, or None if confidence is switched off.
        track: number of the track in a video, or None.
        outline: anchors and contours (OUTLINE, 2) as in ace_net/outlines.py, NaN where none was found, or None.
    """

    landmarks: np.ndarray
    box: np.ndarray
    score: float
    confidence: np.ndarray | None
    track: int | None = None
    outline: np.ndarray | None = None


class Predictor:
    """Detects faces and predicts their landmarks.

    Args:
        weights: a .keras, .h5, .onnx or .tflite file, or an open network; default: the best file in
            pre_trained_models/.
        detector: the face detector; default: OpenCV's cascades.
        confidence: whether to predict eight views of each face (test-time augmentation); the landmarks are their mean,
            and the confidence follows from their deviation. Without it, prediction is several times as fast, and less
            accurate. Networks that predict contours have no confidence. Default: True.

    Raises:
        FileNotFoundError: there are no such weights.
        ValueError: the weights cannot be read.
    """

    def __init__(
        self,
        weights: str | os.PathLike | LandmarkNetwork | None = None,
        detector: Detector | None = None,
        confidence: bool = True,
    ):
        is_path = weights is None or isinstance(weights, (str, os.PathLike))
        self.network = load_network(weights or best_weights()) if is_path else weights
        self.layout = self.network.layout
        confidence = confidence and self.network.codec.complete  # points of a contour slide from view to view
        self.detector = detector or CascadeDetector()
        self._calibration = load_calibration(self.network.path, self.network.points) if confidence else None
        self._views = TTA_VIEWS if confidence else SINGLE_VIEW

    def predict(self, image: np.ndarray | str | os.PathLike) -> list[Face]:
        """Return the faces of one picture, largest first.

        Args:
            image: uint8 RGB (height, width, 3), or the path of a picture file.

        Raises:
            OSError: the file cannot be read.
            ValueError: the file is not a picture, or the array has another form.
        """
        name = os.fspath(image) if isinstance(image, (str, os.PathLike)) else ""
        image = read_untrusted_image(name) if name else image
        return self.predict_boxes([image], [self.detect(image, name)])[0]

    def detect(self, image: np.ndarray, name: str = "") -> list[Detection]:
        """Return the boxes of the faces in an image, each an estimate of the box of its landmarks.

        Args:
            image: uint8 RGB (height, width, 3).
            name: file name of the image, for detectors that look boxes up; default: none.

        Raises:
            ValueError: the image has another form.
        """
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
            raise ValueError(
                f"wrong image {name}. Received shape {image.shape}, type {image.dtype}; expected RGB of shape "
                "(height, width, 3), type uint8"
            )
        landmarks = get_dataset(self.network.dataset).layout.points
        found = self.detector.detect(image, landmarks, name)
        return [face for face in found if in_sight(face.region, image)]  # not in a border that the detector added

    def predict_boxes(
        self,
        images: Sequence[np.ndarray],
        detections: Sequence[Sequence[Detection]],
        passes: int = REFINEMENT_PASSES,
    ) -> list[list[Face]]:
        """Predict the landmarks of detected faces, all faces of all images as one batch.

        Args:
            images: uint8 RGB (height, width, 3) each.
            detections: the faces of each image.
            passes: refinement passes, 1 or more; each pass crops around the landmarks of the one before, and only the
                last one uses TTA views. Default: REFINEMENT_PASSES.

        Returns:
            The faces of each image, in the order of the detections.

        Raises:
            ValueError: the network predicts numbers that are not finite.
        """
        numbers = [number for number, found in enumerate(detections) for _ in found]  # image of each face
        faces = [face for found in detections for face in found]
        result: list[list[Face]] = [[] for _ in images]
        if not faces:
            return result
        face_images = [images[number] for number in numbers]
        regions = [face.region for face in faces]
        for _ in range(passes - 1):
            regions = self._refine(face_images, regions)
        predicted = self._predict_views(face_images, regions, self._views)  # (faces, views, points, 2)
        confidence = [None] * len(faces)
        if self._calibration:
            confidence = self._calibration.confidence(tta_std(predicted))  # (faces, points)
        points = predicted.mean(axis=1)  # (faces, points, 2)
        outlines = self.network.codec.outlines(points)
        rows = zip(numbers, faces, self._landmarks(points), confidence, outlines, strict=True)
        for number, face, landmarks, face_confidence, outline in rows:
            result[number].append(Face(landmarks, face.box, face.score, face_confidence, outline=outline))
        return result

    def _refine(self, images: Sequence[np.ndarray], regions: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Return the regions (n, 2) of the next pass: points predicted from a single crop around each region.

        Args:
            images: the image of each face.
            regions: points (n, 2) to crop around, for each face.
        """
        points = self._predict_views(images, regions, SINGLE_VIEW)[:, 0]  # (faces, points, 2)
        self._landmarks(points)  # raises if the weights are damaged
        predicted = self.network.codec.region(points)
        return [_next_region(*face) for face in zip(predicted, regions, images, strict=True)]

    def _predict_views(
        self, images: Sequence[np.ndarray], regions: Sequence[np.ndarray], views: tuple[View, ...]
    ) -> np.ndarray:
        """Return the points (faces, views, points, 2) of all views in image pixels.

        Args:
            images: the image of each face.
            regions: points (n, 2) to crop around, for each face.
            views: the views of each face.
        """
        crops, matrices = self.crop(images, regions, views)
        return self.map_back(self.forward(crops), matrices, views)

    def _landmarks(self, points: np.ndarray) -> Sequence[np.ndarray]:
        """Return the landmarks (n, 2) of each face from its predicted points (faces, points, 2)."""
        try:
            return self.network.codec.landmarks(points)
        except ValueError as error:
            raise ValueError(f"{self.network.path} {error}") from error

    def crop(
        self, images: Sequence[np.ndarray], regions: Sequence[np.ndarray], views: tuple[View, ...]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Crop every view of every face.

        Args:
            images: the image of each face, uint8 RGB (height, width, 3).
            regions: points (n, 2) to crop around, for each face.
            views: the views of each face.

        Returns:
            uint8 crops (faces * views, size, size, 3), and the matrices (faces, views, 2, 3) from image pixels to their
            pixels.
        """
        size, crop = self.network.input_size, get_crop(self.network.crop)
        affines = tta_matrices(views, size)
        crops, matrices = zip(
            *(crop_image(image, crop, region, size, affines) for image, region in zip(images, regions, strict=True)),
            strict=True,
        )
        return np.concatenate(crops), np.stack(matrices)

    def forward(self, crops: np.ndarray) -> np.ndarray:
        """Return the landmarks (n, points, 2), in crop pixels, of uint8 crops (n, size, size, 3)."""
        starts = range(0, len(crops), EVALUATION_BATCH)
        batches = (to_network(crops[start : start + EVALUATION_BATCH]) for start in starts)
        return np.concatenate([self.network.predict(batch) for batch in batches])

    def map_back(self, predicted: np.ndarray, matrices: np.ndarray, views: tuple[View, ...]) -> np.ndarray:
        """Return the landmarks (faces, views, points, 2) in image pixels.

        Args:
            predicted: landmarks (faces * views, points, 2) in crop pixels.
            matrices: (faces, views, 2, 3) from image pixels to crop pixels.
            views: the views of each face.
        """
        predicted = predicted.reshape(*matrices.shape[:2], -1, 2)
        return map_back(predicted, matrices, self.layout, views)

    def add_outlines(self, faces: Sequence[Face]) -> list[Face]:
        """Return the faces with anchors and contours: those that were predicted, else splines through the landmarks.

        Raises:
            ValueError: the landmarks define no contours.
        """
        return [face if face.outline is not None else self._add_outline(face) for face in faces]

    def _add_outline(self, face: Face) -> Face:
        return replace(face, outline=join_landmarks(face.landmarks[None], self.layout, "interp")[0])


def _next_region(landmarks: np.ndarray, region: np.ndarray, image: np.ndarray) -> np.ndarray:
    """Return the landmarks, or the old region if they have left it or the image, or if a contour was not found."""
    if not np.isfinite(landmarks).all():
        return region
    inside = overlap(landmark_box(landmarks), landmark_box(region))[0] > 0 and in_sight(landmarks, image)
    return landmarks if inside else region


def get_rank(weights: Path) -> tuple[float, float]:
    """Return the rank of weights, best first: row of the data set in the catalogue, then validation NME.

    Args:
        weights: path of the weights; the JSON file beside it, or settings.json in its folder, has the two.

    Returns:
        The rank, or UNRANKED if there is no such file or it has no validation NME.
    """
    order = [dataset.title for dataset in DATASETS.values()]
    record_file = weights.with_suffix(".json")
    if not record_file.is_file():
        record_file = weights.parent / SETTINGS_FILE
    try:
        record = json.loads(record_file.read_bytes())
        return order.index(record["settings"]["dataset"]), float(record["validation"]["nme"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return UNRANKED


def best_weights(folder: str | os.PathLike = WEIGHTS_DIR) -> Path:
    """Return the .keras file with the lowest validation NME, those of 300W before other data sets.

    Args:
        folder: searched with its subfolders; default: pre_trained_models/.

    Raises:
        FileNotFoundError: no file has a validation NME.
    """
    ranked = sorted((get_rank(file), file) for file in Path(folder).rglob("*.keras"))
    if not ranked or ranked[0][0] == UNRANKED:
        raise FileNotFoundError(
            f"no weights in {folder}. Name a file with --weights, or train: python train.py --dataset 300W "
            "--save-path runs/acr, then --weights runs/acr/best.keras"
        )
    return ranked[0][1]
