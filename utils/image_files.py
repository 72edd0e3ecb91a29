"""Image files: decoding with checks against truncated, animated and huge files; atomic writing."""

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

MAX_PIXELS = 100_000_000  # of a picture; at 3 bytes each, 300 MB
ANIMATED_FORMATS = ("GIF", "PNG", "WEBP", "AVIF")  # not JPEG: phones store a picture and its preview as two frames


def decode_image(data: bytes, name: str, upright: bool = False, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Decode a picture to uint8 RGB (height, width, 3).

    Grey, 16-bit and CMYK pictures become RGB of 8 bits; transparency is ignored.

    Args:
        data: content of the file.
        name: of the file, for errors.
        upright: whether to apply an EXIF rotation. Data sets were annotated on the pixels without it.
        max_pixels: limit that the header is checked for first, because a small file can announce more pixels than fit
            into memory.

    Raises:
        ValueError: the bytes are not a valid picture, are animated, or have more than `max_pixels` pixels.
    """
    if not data:
        raise ValueError(f"{name} is not a readable image. Received an empty file; expected a JPEG or PNG")
    if data[:2] == b"\xff\xd8" and not _has_end(data):  # OpenCV fills a truncated JPEG with grey, without an error
        raise ValueError(f"{name} is a truncated JPEG. Received {len(data)} bytes without an end marker")
    _check_header(data, name, max_pixels)
    flags = cv2.IMREAD_COLOR if upright else cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:  # OpenCV has limits of its own, such as 2 ** 20 pixels a side
        raise ValueError(f"{name} is not a readable image. OpenCV: {error.err}") from error
    if image is None:
        raise ValueError(f"{name} is not a readable image. Received {len(data)} bytes; expected a JPEG or PNG")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def _has_end(data: bytes) -> bool:
    """Return whether a JPEG has an end marker after the start of its first scan.

    Segments before it are skipped, because they may contain a preview with an end marker of its own. After the picture
    there may be any data (a phone's motion photo).
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
    """Read a picture of a data set as uint8 RGB (height, width, 3).

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is not a valid picture.
    """
    return decode_image(Path(path).read_bytes(), str(path))


def read_untrusted_image(path: str | os.PathLike, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Read a picture of any source, upright, as uint8 RGB (height, width, 3); of a TIFF its first page.

    Raises:
        OSError: there is no such file, or it cannot be read.
        ValueError: the file is not a valid picture, is animated, or has more than `max_pixels` pixels.
    """
    return decode_image(Path(path).read_bytes(), str(path), upright=True, max_pixels=max_pixels)


def _check_header(data: bytes, name: str, max_pixels: int) -> None:
    """Raise ValueError if the header of a picture is invalid, or announces too many pixels or frames."""
    wrong = f"{name} is not a readable image. Received {len(data)} bytes"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the limit is ours
            picture = Image.open(io.BytesIO(data))  # the header only
            width, height = picture.size
            frames = getattr(picture, "n_frames", 1) if picture.format in ANIMATED_FORMATS else 1
            if picture.format == "PNG" and width * height <= max_pixels and frames == 1:
                picture.verify()  # checksums of all its parts; OpenCV fills a truncated PNG, without an error
    except Image.DecompressionBombError:
        raise ValueError(f"{name} is far too large. Expected at most {max_pixels:,} pixels") from None
    except UnidentifiedImageError:
        raise ValueError(f"{wrong} of an unknown format; expected a JPEG or PNG") from None
    except (OSError, SyntaxError, EOFError, ValueError, struct.error) as error:
        raise ValueError(f"{wrong}, which are damaged or truncated ({error})") from error
    if width * height > max_pixels:
        raise ValueError(f"{name} is too large. Received {width} x {height} pixels; expected at most {max_pixels:,}")
    if frames > 1:
        raise ValueError(f"{name} is animated. Received {frames} frames; expected a still picture or a video")


def encode_image(image: np.ndarray, suffix: str, quality: int = STORED_FACE.jpeg_quality) -> bytes:
    """Encode uint8 RGB (height, width, 3) as a JPEG or PNG file, by suffix."""
    options = [] if suffix == ".png" else [cv2.IMWRITE_JPEG_QUALITY, quality]
    done, data = cv2.imencode(suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)
    if not done:
        raise ValueError(f"cannot encode {suffix}. Received an image of shape {image.shape}, type {image.dtype}")
    return data.tobytes()


def write_image(path: str | os.PathLike, image: np.ndarray, quality: int = STORED_FACE.jpeg_quality) -> None:
    """Write uint8 RGB (height, width, 3) as a JPEG or PNG file, by suffix, atomically."""
    data = encode_image(image, Path(path).suffix, quality)
    with atomic_write(path) as temporary:
        temporary.write_bytes(data)
