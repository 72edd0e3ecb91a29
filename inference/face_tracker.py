"""Following faces through a video: each frame's landmarks say where to crop the next one; the detector only starts.

A One-Euro filter (Casiez, Roussel and Vogel, CHI 2012) calms the jitter: an exponential average whose cutoff frequency
rises with speed, so that a face at rest stands still and a fast one is not held back.
"""

import dataclasses
from dataclasses import dataclass

import numpy as np

from image_utility import in_sight, landmark_box, longer_side, overlap
from inference.config import DETECTION, TRACKING, TrackerConfig
from inference.face_detector import Detection
from inference.predictor import Face, Predictor

MIN_STEP = 1e-3  # seconds; two frames of a camera never come closer


class OneEuroFilter:
    """Smooths rows of numbers; each row has a speed of its own, the length of its numbers' change."""

    def __init__(self, settings: TrackerConfig = TRACKING):
        self.settings = settings
        self._seconds: float | None = None

    def smooth(self, values: np.ndarray, seconds: float, unit: float = 1.0) -> np.ndarray:
        """The values (rows, numbers) at a time, smoothed with those before.

        Args:
            seconds: the time; it rises from call to call. unit: what speed is counted in.
        """
        if self._seconds is None:
            self._seconds, self._last, self._speed = seconds, values, np.zeros_like(values)
            return values
        step = max(seconds - self._seconds, MIN_STEP)
        speed = (values - self._last) / step / unit  # (rows, numbers) per second
        self._speed = self._speed + _share(self.settings.speed_cutoff, step) * (speed - self._speed)
        cutoff = self.settings.cutoff + self.settings.beta * np.linalg.norm(self._speed, axis=-1, keepdims=True)
        self._last = self._last + _share(cutoff, step) * (values - self._last)
        self._seconds = seconds
        return self._last


class FaceFilter:
    """Smooths the landmarks of one face: place, size and turn of the whole face, and the shape within, each by itself.

    A face moves as a whole faster than its landmarks move within it. Filtered one by one, the landmarks of a moving
    face would be let through with all their jitter. Every number here is in units of the face's size, so that the size
    of the face in the picture does not matter.
    """

    def __init__(self, settings: TrackerConfig = TRACKING):
        self._place, self._turn, self._shape = (OneEuroFilter(settings) for _ in range(3))
        self._reference: np.ndarray | None = None  # the last smoothed shape, (points,) complex, about 0, of size 1

    def smooth(self, landmarks: np.ndarray, seconds: float) -> np.ndarray:
        """The landmarks (points, 2) at a time, smoothed with those before."""
        points = landmarks @ [1, 1j]  # (points,) complex, so that one product turns and scales
        middle = points.mean()
        around = points - middle
        if self._reference is None:
            self._reference, self._angle = around / longer_side(landmarks), 0.0
        move = np.vdot(self._reference, around) / np.vdot(self._reference, self._reference)  # least squares
        shape = self._shape.smooth(_pairs(around / move), seconds)  # (points, 2)
        place = self._place.smooth(_pairs(middle), seconds, unit=abs(move))  # (1, 2) pixels
        self._angle += np.angle(move * np.exp(-1j * self._angle))  # goes on beyond half a turn
        turn = self._turn.smooth(np.array([[np.log(abs(move)), self._angle]]), seconds)[0]  # logarithm of size, radians
        self._reference = shape @ [1, 1j]
        return _pairs(np.exp(turn[0] + 1j * turn[1]) * self._reference) + place


def _pairs(points: np.ndarray) -> np.ndarray:
    """Complex points as (points, 2)."""
    points = np.atleast_1d(points)
    return np.stack([points.real, points.imag], axis=-1)


def _share(cutoff: float | np.ndarray, step: float) -> float | np.ndarray:
    """How much of a new value a low-pass filter of this cutoff (Hz) takes over after a step (s)."""
    return 1 / (1 + 1 / (2 * np.pi * cutoff * step))


@dataclass(eq=False)  # a track is itself, and arrays have no single answer
class _Track:
    """A followed face: its number, what the network said last, and its filter."""

    number: int
    face: Face
    filter: FaceFilter


class FaceTracker:
    """Faces of one video, frame after frame.

    Args:
        predictor: finds faces and landmarks. smooth: filter the landmarks.
    """

    def __init__(self, predictor: Predictor, smooth: bool = True, settings: TrackerConfig = TRACKING):
        self.predictor, self.smooth, self.settings = predictor, smooth, settings
        self.detections = 0  # how often the detector had to look
        self._tracks: list[_Track] = []
        self._frames = self._next = 0

    def update(self, frame: np.ndarray, seconds: float) -> list[Face]:
        """The faces in the next frame, uint8 RGB (height, width, 3), each with the number of its track."""
        lost = self._follow(frame)
        if lost or not self._tracks or self._frames % self.settings.detection_interval == 0:
            self._look(frame, lost)
        self._frames += 1
        faces = []
        for track in self._tracks:
            landmarks = track.face.landmarks
            if self.smooth:
                landmarks = track.filter.smooth(landmarks, seconds)
            faces.append(dataclasses.replace(track.face, landmarks=landmarks, track=track.number))
        return faces

    def _follow(self, frame: np.ndarray) -> list[_Track]:
        """Moves every track on to a frame; gives those that are lost."""
        seen = [track for track in self._tracks if in_sight(track.face.landmarks, frame)]
        lost = [track for track in self._tracks if track not in seen]
        found = [
            Detection(landmark_box(track.face.landmarks), track.face.score, track.face.landmarks) for track in seen
        ]
        self._tracks = []
        for track, face in zip(seen, self.predictor.predict_boxes([frame], [found], passes=1)[0], strict=True):
            change = longer_side(face.landmarks) / longer_side(track.face.landmarks)
            steady = 1 / self.settings.max_scale_change < change < self.settings.max_scale_change
            if steady and self._sure(face) and not self._taken(face.landmarks, self.settings.overlap):
                track.face = face
                self._tracks.append(track)
            else:
                lost.append(track)
        return lost

    def _look(self, frame: np.ndarray, lost: list[_Track]) -> None:
        """Starts a track for every face that the detector finds and that has none; a lost one there goes on."""
        self.detections += 1
        found = [face for face in self.predictor.detect(frame) if not self._taken(face.region, DETECTION.overlap)]
        for face in self.predictor.predict_boxes([frame], [found])[0]:
            if not self._sure(face) or self._taken(face.landmarks, DETECTION.overlap):
                continue
            box = landmark_box(face.landmarks)
            again = next((t for t in lost if overlap(box, landmark_box(t.face.landmarks))[0] > DETECTION.overlap), None)
            if again:
                lost.remove(again)
            else:
                self._next += 1
            self._tracks.append(_Track(again.number if again else self._next - 1, face, FaceFilter(self.settings)))

    def _sure(self, face: Face) -> bool:
        """Whether this is a face at all, as far as the network's agreement tells."""
        return face.confidence is None or float(face.confidence.mean()) >= self.settings.min_confidence

    def _taken(self, landmarks: np.ndarray, most: float) -> bool:
        """Whether a face is followed there already."""
        boxes = [landmark_box(track.face.landmarks) for track in self._tracks]
        return bool(boxes) and overlap(landmark_box(landmarks), np.stack(boxes)).max() > most
