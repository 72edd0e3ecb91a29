"""Videos and cameras: reading frames and writing videos."""

import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from inference.config import CAMERA, CAMERA_FRAME_RATE, MIN_VIDEO_FRACTION, VIDEO_CODEC
from utils.image_files import MAX_PIXELS

MAX_RATE = 1000.0  # frames/s; higher rates in files are invalid


class Video:
    """A video file, or a camera, as a context manager.

    Args:
        name: path of a video, or "camera", or "camera:1" for the second camera.

    Attributes:
        name: as given.
        rate: frames/s.
        count: number of frames that the file announces, or None.
        is_camera: whether this is a camera.

    Raises:
        OSError: the file does not exist or may not be read, or there is no such camera.
        ValueError: OpenCV cannot read the file as a video, or its frames are too large.
    """

    def __init__(self, name: str):
        self.name, self.is_camera, self._read = name, name.split(":")[0] == CAMERA, 0
        if self.is_camera:
            number = name.partition(":")[2] or "0"
            if not number.isdecimal():
                raise ValueError(f"no such camera. Received {name!r}; expected {CAMERA} or {CAMERA}:1")
            self._capture = cv2.VideoCapture(int(number))
            if not self._capture.isOpened():
                raise OSError(f"{name}: the camera cannot be opened")
        else:
            open(name, "rb").close()  # raises the reason if the file cannot be read; OpenCV does not
            self._capture = cv2.VideoCapture(name, cv2.CAP_FFMPEG)
            if not self._capture.isOpened():
                raise ValueError(f"{name} is not a readable video. Received {Path(name).stat().st_size} bytes")
        width, height = (self._capture.get(side) for side in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
        if width * height > MAX_PIXELS:
            raise ValueError(f"{name} is too large. Received {width:g} x {height:g} pixels, at most {MAX_PIXELS:,}")
        rate, count = self._capture.get(cv2.CAP_PROP_FPS), self._capture.get(cv2.CAP_PROP_FRAME_COUNT)
        self.rate = rate if 0 < rate <= MAX_RATE else CAMERA_FRAME_RATE
        self.count = int(count) if count > 0 and not self.is_camera else None

    def __enter__(self) -> "Video":
        return self

    def __exit__(self, *problem: object) -> None:
        self._capture.release()

    def frames(self, max_frames: int | None = None) -> Iterator[tuple[float, np.ndarray]]:
        """Yield the time in seconds and the pixels of every frame, uint8 RGB (height, width, 3), upright.

        Args:
            max_frames: number of frames to stop after; default: none.
        """
        started = time.monotonic()
        while max_frames is None or self._read < max_frames:
            success, frame = self._capture.read()
            if not success:
                return
            seconds = time.monotonic() - started if self.is_camera else self._read / self.rate
            self._read += 1
            yield seconds, cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)

    def check_complete(self, max_frames: int | None = None) -> None:
        """Check that all frames were read.

        Args:
            max_frames: as given to `frames`.

        Raises:
            ValueError: fewer frames were read than the file announces, or than were requested.
        """
        expected = min(self.count or 0, max_frames or self.count or 0)
        if self._read == 0 or self._read < MIN_VIDEO_FRACTION * expected:
            raise ValueError(
                f"{self.name} ends early. Received {self._read} frames of {self.count}; these were processed"
            )


class VideoWriter:
    """Writer of an .mp4 file, as a context manager. The first frame determines the size.

    Args:
        path: the file.
        rate: frames/s.
    """

    def __init__(self, path: Path, rate: float):
        self.path, self.rate, self._writer = path, rate, None

    def __enter__(self) -> "VideoWriter":
        return self

    def __exit__(self, *problem: object) -> None:
        if self._writer is not None:
            self._writer.release()

    def write(self, frame: np.ndarray) -> None:
        """Write one frame, uint8 RGB (height, width, 3).

        Raises:
            OSError: the file cannot be written.
            ValueError: the size differs from that of the first frame.
        """
        size = frame.shape[1::-1]
        if self._writer is None:
            self._size = size
            self._writer = cv2.VideoWriter(str(self.path), cv2.VideoWriter.fourcc(*VIDEO_CODEC), self.rate, size)
            if not self._writer.isOpened():
                raise OSError(f"{self.path}: cannot be written as a video of {size[0]} x {size[1]} pixels")
        if size != self._size:
            raise ValueError(f"the frame size changes. Received {size}; expected {self._size}, as the first frame")
        self._writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
