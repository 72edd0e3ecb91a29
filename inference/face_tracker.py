"""Face tracking in videos: the landmarks of a frame determine the crop of the next; the detector only starts tracks.

A One-Euro filter (Casiez, Roussel and Vogel, CHI 2012) reduces the jitter: an exponential average whose cutoff
frequency increases with speed, so that a face at rest is steady and a fast one has little lag.
"""

import dataclasses
from dataclasses import dataclass

import numpy as np

from image_utility import in_sight, landmark_box, longer_side, overlap
from inference.config import DETECTION, TRACKING, TrackerConfig
from inference.face_detector import Detection
from inference.predictor import Face, Predictor

MIN_STEP = 1e-3  # seconds; minimum time between two frames


class OneEuroFilter:
    """One-Euro filter of rows of numbers; the speed of a row is the length of its change per second.

    Args:
        settings: default: TRACKING.
    """

    def __init__(self, settings: TrackerConfig = TRACKING):
        self.settings = settings
        self._seconds: float | None = None

    def smooth(self, values: np.ndarray, seconds: float, unit: float = 1.0) -> np.ndarray:
        """Return the filtered values.

        Args:
            values: (rows, numbers).
            seconds: time of the values; increases from call to call.
            unit: unit of the speed; default: 1.
        """
        if self._seconds is None:
            self._seconds, self._last, self._speed = seconds, values, np.zeros_like(values)
            return values
        step = max(seconds - self._seconds, MIN_STEP)
        speed = (values - self._last) / step / unit  # (rows, numbers) per second
        self._speed = self._speed + _smoothing_factor(self.settings.speed_cutoff, step) * (speed - self._speed)
        cutoff = self.settings.cutoff + self.settings.beta * np.linalg.norm(self._speed, axis=-1, keepdims=True)
        self._last = self._last + _smoothing_factor(cutoff, step) * (values - self._last)
        self._seconds = seconds
        return self._last


class FaceFilter:
    """Filter of the landmarks of one face: position, size and rotation, and shape, each with a filter of its own.

    A face moves faster than its landmarks move within it. If landmarks were filtered one by one, those of a moving face
    would keep all their jitter. All numbers are relative to the size of the face, so the filter does not depend on the
    resolution.

    Args:
        settings: default: TRACKING.
    """

    def __init__(self, settings: TrackerConfig = TRACKING):
        self._position, self._similarity, self._shape = (OneEuroFilter(settings) for _ in range(3))
        self._reference: np.ndarray | None = None  # (points,) complex: last filtered shape, centred, of size 1

    def smooth(self, landmarks: np.ndarray, seconds: float) -> np.ndarray:
        """Return the filtered landmarks (points, 2).

        Args:
            landmarks: (points, 2) in image pixels.
            seconds: time of the frame; increases from call to call.
        """
        points = landmarks @ [1, 1j]  # (points,) complex, so that one product rotates and scales
        centre = points.mean()
        centred = points - centre
        if self._reference is None:
            self._reference, self._angle = centred / longer_side(landmarks), 0.0
        # least-squares rotation and scale from the reference to this frame, as one complex number
        similarity = np.vdot(self._reference, centred) / np.vdot(self._reference, self._reference)
        shape = self._shape.smooth(_to_pairs(centred / similarity), seconds)  # (points, 2)
        position = self._position.smooth(_to_pairs(centre), seconds, unit=abs(similarity))  # (1, 2) pixels
        self._angle += np.angle(similarity * np.exp(-1j * self._angle))  # continuous beyond half a turn
        log_size, angle = self._similarity.smooth(np.array([[np.log(abs(similarity)), self._angle]]), seconds)[0]
        self._reference = shape @ [1, 1j]
        return _to_pairs(np.exp(log_size + 1j * angle) * self._reference) + position


def _to_pairs(points: np.ndarray) -> np.ndarray:
    """Return complex points as (points, 2)."""
    points = np.atleast_1d(points)
    return np.stack([points.real, points.imag], axis=-1)


def _smoothing_factor(cutoff: float | np.ndarray, step: float) -> float | np.ndarray:
    """Return the weight of a new value in a low-pass filter with a cutoff (Hz) after a step (s)."""
    return 1 / (1 + 1 / (2 * np.pi * cutoff * step))


@dataclass(eq=False)  # tracks are compared by identity
class _Track:
    """One tracked face: its number, its last prediction, and its filter."""

    number: int
    face: Face
    filter: FaceFilter


class FaceTracker:
    """Tracker of the faces of one video.

    Args:
        predictor: detects faces and predicts landmarks.
        smooth: whether to filter the landmarks; default: True.
        settings: default: TRACKING.
    """

    def __init__(self, predictor: Predictor, smooth: bool = True, settings: TrackerConfig = TRACKING):
        self.predictor, self.smooth, self.settings = predictor, smooth, settings
        self._tracks: list[_Track] = []
        self._frames = self._next = 0

    def update(self, frame: np.ndarray, seconds: float) -> list[Face]:
        """Return the faces of the next frame, each with the number of its track.

        Args:
            frame: uint8 RGB (height, width, 3).
            seconds: time of the frame; increases from call to call.
        """
        lost = self._follow(frame)
        if lost or not self._tracks or self._frames % self.settings.detection_interval == 0:
            self._detect_new(frame, lost)
        self._frames += 1
        faces = []
        for track in self._tracks:
            landmarks = track.face.landmarks
            if self.smooth:
                landmarks = track.filter.smooth(landmarks, seconds)
            faces.append(dataclasses.replace(track.face, landmarks=landmarks, track=track.number))
        return faces

    def _follow(self, frame: np.ndarray) -> list[_Track]:
        """Continue every track in a frame; return the lost ones."""
        visible = [track for track in self._tracks if in_sight(track.face.landmarks, frame)]
        lost = [track for track in self._tracks if track not in visible]
        detections = [
            Detection(landmark_box(track.face.landmarks), track.face.score, track.face.landmarks) for track in visible
        ]
        self._tracks = []
        (faces,) = self.predictor.predict_boxes([frame], [detections], passes=1)
        for track, face in zip(visible, faces, strict=True):
            change = longer_side(face.landmarks) / longer_side(track.face.landmarks)
            steady = 1 / self.settings.max_scale_change < change < self.settings.max_scale_change
            if steady and self._is_confident(face) and not self._is_tracked(face.landmarks, self.settings.overlap):
                track.face = face
                self._tracks.append(track)
            else:
                lost.append(track)
        return lost

    def _detect_new(self, frame: np.ndarray, lost: list[_Track]) -> None:
        """Start a track for every detected face without one; a lost track at the same position continues."""
        found = [face for face in self.predictor.detect(frame) if not self._is_tracked(face.region, DETECTION.overlap)]
        for face in self.predictor.predict_boxes([frame], [found])[0]:
            if not self._is_confident(face) or self._is_tracked(face.landmarks, DETECTION.overlap):
                continue
            box = landmark_box(face.landmarks)
            same = next((t for t in lost if overlap(box, landmark_box(t.face.landmarks))[0] > DETECTION.overlap), None)
            if same:
                lost.remove(same)
            else:
                self._next += 1
            self._tracks.append(_Track(same.number if same else self._next - 1, face, FaceFilter(self.settings)))

    def _is_confident(self, face: Face) -> bool:
        """Whether the network's confidence is high enough for a face."""
        return face.confidence is None or float(face.confidence.mean()) >= self.settings.min_confidence

    def _is_tracked(self, landmarks: np.ndarray, max_overlap: float) -> bool:
        """Whether a track overlaps the landmarks' box by more than `max_overlap`."""
        boxes = [landmark_box(track.face.landmarks) for track in self._tracks]
        return bool(boxes) and overlap(landmark_box(landmarks), np.stack(boxes)).max() > max_overlap
