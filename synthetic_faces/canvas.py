"""A small picture to draw on: smooth outlines in fractions of a pixel, clipping, and soft light and shadow."""

import contextlib
import functools
from collections.abc import Iterator

import cv2
import numpy as np

FRACTION_BITS = 5  # OpenCV takes corners in fixed point
STEPS = 6  # straight pieces between two points of a curve
GREY = 128  # what leaves the picture as it is when it is shaded


class Canvas:
    """A square picture, uint8 (side, side, channels). Places are in sides of the picture, 0 to 1.

    unit: a length in sides of the picture, which widths of lines and blurs are multiples of.
    """

    def __init__(self, pixels: np.ndarray, unit: float):
        self.pixels, self.side, self.unit = pixels, pixels.shape[0], unit

    def corners(self, points: np.ndarray) -> list[np.ndarray]:
        """Places (n, 2) as OpenCV's fixed-point pixels, in which whole numbers are centres of pixels."""
        return [np.round((points * self.side - 0.5) * 2**FRACTION_BITS).astype(np.int32)]

    def fill(self, points: np.ndarray, colour: np.ndarray, opacity: float = 1.0) -> None:
        """Fills a polygon (n, 2). Its edge lies up to 0.7 pixels of the canvas outside the points, as OpenCV fills."""
        before = self.pixels.copy() if opacity < 1 else None
        cv2.fillPoly(self.pixels, self.corners(points), _scalar(colour), cv2.LINE_AA, FRACTION_BITS)
        if before is not None:
            cv2.addWeighted(self.pixels, opacity, before, 1 - opacity, 0, dst=self.pixels)

    def line(self, points: np.ndarray, colour: np.ndarray, width: float) -> None:
        """Draws a line along points (n, 2)."""
        thick = max(1, round(width * self.unit * self.side))
        cv2.polylines(self.pixels, self.corners(points), False, _scalar(colour), thick, cv2.LINE_AA, FRACTION_BITS)

    @contextlib.contextmanager
    def inside(self, outline: np.ndarray) -> Iterator[None]:
        """What is drawn meanwhile shows inside an outline (n, 2) only."""
        before = self.pixels.copy()
        yield
        outside = np.full((self.side, self.side), 255, np.uint8)
        cv2.fillPoly(outside, self.corners(outline), 0, cv2.LINE_8, FRACTION_BITS)
        cv2.copyTo(before, outside, self.pixels)

    def shade(self, forms: list[tuple[np.ndarray, int]], blur: float) -> None:
        """Multiplies the picture by soft light: blurred polygons (n, 2) of a grey level each; GREY changes nothing."""
        coarse = Canvas(np.full((self.side // 4 + 1,) * 2, GREY, np.uint8), self.unit)
        for points, level in forms:
            cv2.fillPoly(coarse.pixels, coarse.corners(points), level, cv2.LINE_AA, FRACTION_BITS)
        soft = cv2.GaussianBlur(coarse.pixels, (0, 0), max(blur * self.unit * coarse.side, 0.3))
        soft = cv2.resize(soft, (self.side, self.side), interpolation=cv2.INTER_LINEAR)
        cv2.multiply(self.pixels, cv2.merge([soft] * 3), dst=self.pixels, scale=1 / GREY)


def smooth(points: np.ndarray) -> np.ndarray:
    """A smooth curve (m, 2) through points (n, 2): Catmull and Rom's spline, straight on at both ends."""
    return _spline(len(points)) @ points


def ellipse(centre: np.ndarray, x_axis: np.ndarray, y_axis: np.ndarray) -> np.ndarray:
    """A closed outline (24, 2) around a centre, from its two half axes, each (2,)."""
    angle = np.linspace(0, 2 * np.pi, 24, endpoint=False)[:, None]
    return centre + np.cos(angle) * x_axis + np.sin(angle) * y_axis


def _scalar(colour: np.ndarray) -> tuple[int, ...]:
    return tuple(min(max(round(channel), 0), 255) for channel in colour.tolist())


@functools.cache
def _spline(count: int) -> np.ndarray:
    """The matrix (m, count) that takes points to their curve."""
    t = np.arange(STEPS)[:, None] / STEPS
    weights = np.hstack([-t + 2 * t**2 - t**3, 2 - 5 * t**2 + 3 * t**3, t + 4 * t**2 - 3 * t**3, t**3 - t**2]) / 2
    padded = np.zeros((count + 2, count))  # one more point at both ends, on the straight line through the last two
    padded[1:-1] = np.eye(count)
    padded[0, :2] = padded[-1, :-3:-1] = 2, -1
    pieces = [weights @ padded[k : k + 4] for k in range(count - 1)]  # each (STEPS, count)
    return np.vstack([*pieces, np.eye(count)[-1:]])
