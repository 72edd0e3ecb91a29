"""Picture files: read whole or refused by name, written whole or not at all."""

import io
import os
import struct
import warnings
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

from config import STORED_FACE
from utils.files import atomic_write

MAX_PIXELS = 100_000_000  # of a picture that is opened; at 3 bytes each, 300 MB
ANIMATED_FORMATS = ("GIF", "PNG", "WEBP", "AVIF")  # phones store a still with a preview as two frames of a JPEG


def decode_image(data: bytes, name: str, upright: bool = False, most_pixels: int = MAX_PIXELS) -> np.ndarray:
    """An encoded picture as uint8 RGB of shape (height, width, 3); `name` stands in the error.

    Grey, 16-bit and CMYK pictures become RGB of 8 bits; transparency is ignored.

    Args:
        upright: follow an EXIF rotation. The data sets were annotated on the pixels as they are stored, without.
        most_pixels: the header is read first, since a small file can announce more than the memory holds.

    Raises:
        ValueError: the bytes are no whole picture, are animated, or have more than `most_pixels` pixels.
    """
    if not data:
        raise ValueError(f"{name} is not a readable image. Received an empty file; a whole JPEG or PNG would be right")
    if data[:2] == b"\xff\xd8" and not _has_end(data):  # OpenCV fills a cut JPEG with grey and says nothing
        raise ValueError(f"{name} is a truncated JPEG. Received {len(data)} bytes without an end marker")
    _check_header(data, name, most_pixels)
    flags = cv2.IMREAD_COLOR if upright else cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:  # OpenCV has limits of its own, such as 2 ** 20 pixels a side
        raise ValueError(f"{name} is not a readable image. OpenCV says: {error.err}") from error
    if image is None:
        raise ValueError(f"{name} is not a readable image. Received {len(data)} bytes; a JPEG or PNG would be right")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def _has_end(data: bytes) -> bool:
    """Whether a JPEG has an end marker behind the start of its first scan.

    Segments before it are stepped over, since they may hold a whole preview; what follows a picture (a phone's motion
    photo) may hold anything.
    """
    at = data.find(b"\xff", 2)
    while 0 <= at < len(data) - 3:
        marker = data[at + 1]
        if marker == 0xDA:
            return data.find(b"\xff\xd9", at) > 0
        if marker == 0xFF:  # a fill byte
            at += 1
        else:
            bare = marker == 0x01 or 0xD0 <= marker <= 0xD8  # markers without content
            at = data.find(b"\xff", at + 2 + (0 if bare else int.from_bytes(data[at + 2 : at + 4], "big")))
    return False


def read_image(path: str | os.PathLike) -> np.ndarray:
    """A picture file of a data set as uint8 RGB of shape (height, width, 3).

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is no whole picture.
    """
    return decode_image(Path(path).read_bytes(), str(path))


def read_untrusted_image(path: str | os.PathLike, most_pixels: int = MAX_PIXELS) -> np.ndarray:
    """A picture that nobody vouches for, upright, as uint8 RGB of shape (height, width, 3).

    Of a TIFF with several pages the first one is read.

    Raises:
        OSError: there is no such file, or it may not be read.
        ValueError: the file is no whole picture, is animated, or has more than `most_pixels` pixels.
    """
    return decode_image(Path(path).read_bytes(), str(path), upright=True, most_pixels=most_pixels)


def _check_header(data: bytes, name: str, most_pixels: int) -> None:
    """Raises ValueError where a picture's header says that it should not be decoded."""
    wrong = f"{name} is not a readable image. Received {len(data)} bytes"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the limit is ours
            picture = Image.open(io.BytesIO(data))  # the header alone
            width, height = picture.size
            frames = getattr(picture, "n_frames", 1) if picture.format in ANIMATED_FORMATS else 1
            if picture.format == "PNG" and width * height <= most_pixels and frames == 1:
                picture.verify()  # checksums of all its parts; OpenCV fills a cut PNG and says nothing
    except Image.DecompressionBombError:
        raise ValueError(f"{name} is far too large. At most {most_pixels:,} pixels are right") from None
    except UnidentifiedImageError:
        raise ValueError(f"{wrong}, which are no known format; a JPEG or PNG would be right") from None
    except (OSError, SyntaxError, EOFError, ValueError, struct.error) as error:
        raise ValueError(f"{wrong}, which are broken or cut short ({error})") from error
    if width * height > most_pixels:
        raise ValueError(f"{name} is too large. Received {width} x {height} pixels; at most {most_pixels:,} are right")
    if frames > 1:
        raise ValueError(f"{name} is animated. Received {frames} frames; a still picture or a video is right")


def encode_image(image: np.ndarray, suffix: str, quality: int = STORED_FACE.jpeg_quality) -> bytes:
    """uint8 RGB (height, width, 3) as the bytes of a JPEG or PNG file."""
    options = [] if suffix == ".png" else [cv2.IMWRITE_JPEG_QUALITY, quality]
    done, data = cv2.imencode(suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)
    if not done:
        raise ValueError(f"cannot encode {suffix}. Received an image of shape {image.shape}, type {image.dtype}")
    return data.tobytes()


def write_image(path: str | os.PathLike, image: np.ndarray, quality: int = STORED_FACE.jpeg_quality) -> None:
    """Writes uint8 RGB (height, width, 3) as JPEG or PNG (by suffix), whole or not at all."""
    data = encode_image(image, Path(path).suffix, quality)
    with atomic_write(path) as temporary:
        temporary.write_bytes(data)
