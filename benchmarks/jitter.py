"""Jitter and lag of the One-Euro filter on a face in a video of known motion.

    python -m benchmarks.jitter --weights runs/acr/best.keras --picture face.jpg

Matrices of sub-pixel shifts, rotations and scales move one still face through a clip, and each frame gets noise. The
landmarks of the still picture, transformed by the same matrices, are the ground truth of a perfect tracker, even where
the network's landmarks of that face are wrong. Jitter is the root mean square second difference of the error; lag is
the shift in frames under which the path of the landmarks fits the known one best. Without --picture the face is a
rendered one, for networks that were trained on such faces.
"""

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import cv2
import numpy as np

from config import SEED
from image_utility import compose, landmark_box, transform
from inference.config import CAMERA_FRAME_RATE
from inference.face_detector import Detection
from synthetic_faces import render_face
from utils import cli
from utils.image_files import read_untrusted_image

if TYPE_CHECKING:
    from inference.predictor import Predictor

SIZE = (480, 640)  # height, width of a frame
RESTING = 0.3  # fraction of the clip
FACE = 180.0  # longer side of the face in pixels
LAGS = np.linspace(-1, 4, 101)  # frames that are tried


def motion(frames: int) -> np.ndarray:
    """Return matrices (frames, 2, 3) from a face around the origin to the frame; it rests for RESTING of the clip.

    Then it swings by an eighth of the frame's width to both sides, in the end within two seconds, nods, turns and
    approaches.
    """
    seconds = np.arange(frames) / CAMERA_FRAME_RATE
    started = np.clip(seconds - RESTING * seconds[-1], 0, None)  # 0 while at rest
    swing = 2 * np.pi * started**2 / (started + 1) / 2.0  # the speed does not jump
    angle = np.radians(8 * np.sin(0.7 * swing))
    scale = 1 + 0.12 * np.sin(0.5 * swing)
    drift = 0.37 * seconds  # pixels; so that rest has sub-pixel positions, too
    x = SIZE[1] / 2 + drift + SIZE[1] / 8 * np.sin(swing)
    y = SIZE[0] / 2 + SIZE[0] / 20 * np.sin(1.3 * swing)
    cosine, sine = scale * np.cos(angle), scale * np.sin(angle)
    return np.stack([np.stack([cosine, -sine, x], -1), np.stack([sine, cosine, y], -1)], -2)


def make_clip(
    image: np.ndarray, landmarks: np.ndarray, frames: int, noise: float, seed: int = SEED
) -> tuple[list[np.ndarray], np.ndarray]:
    """Return a clip of a still face in known motion.

    Args:
        image: uint8, RGB, (height, width, 3).
        landmarks: landmarks of its face in pixels, (points, 2).
        frames: number of frames.
        noise: standard deviation of the noise in grey levels.
        seed: random seed of the noise; default: SEED.

    Returns:
        frames, uint8 RGB (height, width, 3), and the matrices (frames, 2, 3) from pixels of `image` to theirs.
    """
    box = landmark_box(landmarks)
    scale = FACE / (box[2:] - box[:2]).max()
    middle = (box[:2] + box[2:]) / 2
    to_origin = np.column_stack([np.eye(2) * scale, -scale * middle])
    matrices = compose(motion(frames), to_origin)  # (frames, 2, 3)
    rng = np.random.default_rng(seed)
    clip = []
    for matrix in matrices:
        flags = cv2.INTER_LINEAR if scale > 1 else cv2.INTER_AREA
        frame = cv2.warpAffine(image, matrix, SIZE[::-1], flags=flags, borderMode=cv2.BORDER_REPLICATE)
        clip.append(np.clip(frame + rng.normal(0, noise, frame.shape), 0, 255).round().astype(np.uint8))
    return clip, matrices


def jitter(tracked: np.ndarray, truth: np.ndarray) -> float:
    """Return the root mean square second difference of the error in pixels; 0 for a constant offset or lag.

    Args:
        tracked: (frames, points, 2).
        truth: (frames, points, 2).
    """
    change = np.diff(tracked - truth, n=2, axis=0)
    return float(np.sqrt((change**2).sum(axis=-1).mean()))


def lag(tracked: np.ndarray, truth: np.ndarray) -> float:
    """Return the frames by which tracked landmarks are later than the truth, to 0.05 frames.

    The truth is shifted in time by linear interpolation; constant offsets of single landmarks do not count.

    Args:
        tracked: (frames, points, 2).
        truth: (frames, points, 2).
    """
    ends = int(np.ceil(np.abs(LAGS).max()))
    times = np.arange(len(truth))
    inner = times[ends:-ends]
    misfits = []
    for frames in LAGS:
        low = np.floor(inner - frames).astype(int)
        fraction = (inner - frames - low)[:, None, None]
        shifted = (1 - fraction) * truth[low] + fraction * truth[low + 1]
        error = tracked[inner] - shifted
        misfits.append(((error - error.mean(axis=0)) ** 2).mean())
    return float(LAGS[int(np.argmin(misfits))])


def track(predictor: "Predictor", clip: Sequence[np.ndarray], smooth: bool) -> np.ndarray:
    """Return the landmarks (frames, points, 2) of the one face of a clip.

    Raises:
        ValueError: a frame without a face, or with several.
    """
    from inference.face_tracker import FaceTracker

    tracker, tracked = FaceTracker(predictor, smooth), []
    for number, frame in enumerate(clip):
        faces = tracker.update(frame, number / CAMERA_FRAME_RATE)
        if len(faces) != 1:
            raise ValueError(f"not one face in frame {number}. Received {len(faces)}; choose another --picture")
        tracked.append(faces[0].landmarks)
    return np.stack(tracked)


def known_face(predictor: "Predictor", picture: str | None) -> tuple[np.ndarray, np.ndarray]:
    """Return a picture and the landmarks (points, 2) of its face: the network's own, or the true ones if rendered.

    Raises:
        OSError, ValueError: the file is no picture of one face.
    """
    if picture is None:
        face = render_face(SEED)
        return face.image, face.landmarks()
    image = read_untrusted_image(picture)
    faces = predictor.predict(image)
    if not faces:
        raise ValueError(f"{picture}: no face found")
    return image, faces[0].landmarks


class KnownBox:
    """A detector that returns the known box of a face; cascades may not detect rendered faces."""

    def __init__(self, landmarks: np.ndarray):
        self._face = Detection(landmark_box(landmarks), 1.0)

    def detect(self, image: np.ndarray, points: int, name: str = "") -> list[Detection]:
        """Return the face, see face_detector.Detector."""
        return [self._face]


def measure(options: argparse.Namespace) -> None:
    """Print the table of the command line."""
    from inference.predictor import Predictor

    predictor = Predictor(options.weights)
    image, landmarks = known_face(predictor, options.picture)
    clip, matrices = make_clip(image, landmarks, options.frames, options.noise)
    truth = transform(landmarks, matrices)  # (frames, points, 2)
    predictor.detector = KnownBox(truth[0])
    resting = int(RESTING * options.frames)
    print(f"{options.frames} frames at {CAMERA_FRAME_RATE:g} frames/s, noise of {options.noise:g} grey levels")
    print(f"{'jitter, px':<14}{'at rest':>10}{'in motion':>10}{'all':>10}{'lag, frames':>13}")
    for title, smooth in (("as predicted", False), ("smoothed", True)):
        tracked = track(predictor, clip, smooth)
        spans = [slice(resting), slice(resting, None), slice(None)]
        jitters = "".join(f"{jitter(tracked[span], truth[span]):10.3f}" for span in spans)
        print(f"{title:<14}{jitters}{lag(tracked[resting:], truth[resting:]):13.2f}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    parser = argparse.ArgumentParser(
        description="Measure jitter and lag of tracked landmarks on a clip of known motion."
    )
    parser.add_argument("--weights", required=True, help="file of weights: .keras, .h5, .onnx or .tflite")
    parser.add_argument("--picture", help="picture of one face; default: a rendered face")
    parser.add_argument("--frames", type=int, default=240, help="number of frames; default: %(default)s")
    parser.add_argument(
        "--noise", type=float, default=6.0, help="noise of each frame in grey levels; default: %(default)s"
    )
    options = parser.parse_args(arguments)
    return cli.run(lambda: measure(options), "jitter")


if __name__ == "__main__":
    sys.exit(main())
