"""Videos and cameras: frames in, drawn frames out."""

import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from inference.config import CAMERA, CAMERA_FRAME_RATE, VIDEO_CODEC, WHOLE_VIDEO
from utils.image_files import MAX_PIXELS

MAX_RATE = 1000.0  # frames/s; files that tell more do not know


class Video:
    """A video file, or a camera by the name "camera" or "camera:1", as a context manager.

    Attributes:
        rate: frames/s. count: frames that the file announces, None where it does not say. is_camera: no file.

    Raises:
        OSError: there is no such file, it may not be read, or no such camera.
        ValueError: it is no video that OpenCV can read.
    """

    def __init__(self, name: str):
        self.name, self.is_camera, self._read = name, name.split(":")[0] == CAMERA, 0
        if self.is_camera:
            number = name.partition(":")[2] or "0"
            if not number.isdecimal():
                raise ValueError(f"no such camera. Received {name!r}; {CAMERA} or {CAMERA}:1 would be right")
            self._capture = cv2.VideoCapture(int(number))
            if not self._capture.isOpened():
                raise OSError(f"{name}: the camera cannot be opened")
        else:
            open(name, "rb").close()  # tells why where it cannot be read; OpenCV does not
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

    def frames(self, most: int | None = None) -> Iterator[tuple[float, np.ndarray]]:
        """Every frame, at most so many: its time in seconds, and uint8 RGB (height, width, 3), upright."""
        started = time.monotonic()
        while most is None or self._read < most:
            there, frame = self._capture.read()
            if not there:
                return
            seconds = time.monotonic() - started if self.is_camera else self._read / self.rate
            self._read += 1
            yield seconds, cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)

    def check_whole(self, most: int | None = None) -> None:
        """Raises ValueError where fewer frames came than the file announced, or than were asked for at most."""
        expected = min(self.count or 0, most or self.count or 0)
        if self._read == 0 or self._read < WHOLE_VIDEO * expected:
            raise ValueError(
                f"{self.name} ends early. Received {self._read} frames, {self.count} announced; those are done"
            )


class VideoWriter:
    """Writes frames to an .mp4 file, as a context manager. The first frame decides the size."""

    def __init__(self, path: Path, rate: float):
        self.path, self.rate, self._writer = path, rate, None

    def __enter__(self) -> "VideoWriter":
        return self

    def __exit__(self, *problem: object) -> None:
        if self._writer is not None:
            self._writer.release()

    def write(self, frame: np.ndarray) -> None:
        """One frame, uint8 RGB (height, width, 3).

        Raises:
            OSError: the file cannot be written.
            ValueError: the frame has another size than the first.
        """
        size = frame.shape[1::-1]
        if self._writer is None:
            self._size = size
            self._writer = cv2.VideoWriter(str(self.path), cv2.VideoWriter.fourcc(*VIDEO_CODEC), self.rate, size)
            if not self._writer.isOpened():
                raise OSError(f"{self.path}: cannot be written as a video of {size[0]} x {size[1]} pixels")
        if size != self._size:
            raise ValueError(f"the frames' size changes. Received {size}; {self._size}, as the first, is right")
        self._writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
