"""The unrolled skin of a head, to paint on: everything is placed by frontal coordinates of the head."""

import cv2
import numpy as np

from synthetic_faces.head import Head

COARSE_BLUR = 4.0  # pixels
BITS = 4  # OpenCV takes corners in fixed point


class Canvas:
    """A picture over a head's mesh, float32.

    pixels: (height, width, 4): a colour as on a screen, and the share of light that is reflected as a highlight.
    """

    def __init__(self, head: Head, height: int, width: int, colour: np.ndarray, gloss: float):
        self.head, self.height, self.width = head, height, width
        self.pixels = np.empty((height, width, 4), np.float32)
        self.pixels[:] = *colour, gloss
        self.unit = height / 4.0  # pixels of a head unit, roughly

    def at(self, places: np.ndarray) -> np.ndarray:
        """Frontal coordinates (n, 2) to pixels (n, 2)."""
        return self.head.shares(places) * [self.width - 1, self.height - 1]

    def region(self, places: np.ndarray, margin: float) -> tuple[slice, slice, np.ndarray]:
        """The slices around places (n, 2), widened by `margin` head units, and the places in their pixels."""
        at = self.at(places)
        pad = margin * self.unit + 2
        left, top = np.floor(np.maximum(at.min(axis=0) - pad, 0)).astype(int)
        right, bottom = np.ceil(np.minimum(at.max(axis=0) + pad, [self.width - 1, self.height - 1])).astype(int)
        return slice(top, max(bottom, top) + 1), slice(left, max(right, left) + 1), at - [left, top]

    def fill(
        self, outline: np.ndarray, colour, opacity: float = 1.0, soft: float = 0.0, within: np.ndarray | None = None
    ):
        """Fills an outline (n, 2). soft: blur of its edge in head units. within: an outline it must not leave."""
        rows, columns, at = self.region(outline, 3 * soft)
        mask = _mask(at, rows, columns)
        self._blend(mask, rows, columns, colour, opacity, soft, within)

    def spot(self, centre, radii, colour, opacity: float = 1.0, soft: float = 0.0, within: np.ndarray | None = None):
        """Fills an ellipse."""
        angle = np.linspace(0, 2 * np.pi, 28, endpoint=False)
        outline = np.stack([centre[0] + radii[0] * np.cos(angle), centre[1] + radii[1] * np.sin(angle)], axis=-1)
        self.fill(outline, colour, opacity, soft, within)

    def strokes(
        self, lines: list[np.ndarray], colour, width: float, opacity: float = 1.0, soft: float = 0.0, within=None
    ):
        """Draws lines, each (n, 2), `width` head units thick."""
        rows, columns, at = self.region(np.concatenate(lines), width + 3 * soft)
        ends = np.cumsum([len(line) for line in lines])[:-1]
        corners = np.split(np.round(at * 2**BITS).astype(np.int32), ends)
        mask = np.zeros((rows.stop - rows.start, columns.stop - columns.start), np.uint8)
        pixels = width * self.unit
        strength = min(pixels, 1.0)  # lines thinner than a pixel are drawn fainter
        cv2.polylines(mask, corners, False, 255, max(1, round(pixels)), cv2.LINE_AA, BITS)
        self._blend(mask, rows, columns, colour, opacity * strength, soft, within)

    def shade(self, mask: np.ndarray, colour, rows: slice = slice(None), columns: slice = slice(None)) -> None:
        """Blends a colour in where mask (height, width), in [0, 1], says; a fourth number changes the gloss too."""
        part = self.pixels[rows, columns, : len(colour)]
        part += mask[..., None] * (np.asarray(colour, np.float32) - part)

    def _blend(self, mask, rows, columns, colour, opacity, soft, within):
        if soft:
            mask = _softened(mask, max(soft * self.unit, 0.3))
        weights = mask * np.float32(opacity / 255)
        if within is not None:
            border = self.at(within) - [columns.start, rows.start]
            weights *= _mask(border, rows, columns) * np.float32(1 / 255)
        self.shade(weights, colour, rows, columns)


def _softened(mask: np.ndarray, sigma: float) -> np.ndarray:
    """A blurred mask; a wide blur is made on a quarter of the rows and columns."""
    if sigma < COARSE_BLUR:
        return cv2.GaussianBlur(mask, (0, 0), sigma)
    height, width = mask.shape
    small = cv2.resize(mask, (-(-width // 4), -(-height // 4)), interpolation=cv2.INTER_AREA)
    return cv2.resize(cv2.GaussianBlur(small, (0, 0), sigma / 4), (width, height), interpolation=cv2.INTER_LINEAR)


def _mask(at: np.ndarray, rows: slice, columns: slice) -> np.ndarray:
    mask = np.zeros((rows.stop - rows.start, columns.stop - columns.start), np.uint8)
    cv2.fillPoly(mask, [np.round(at * 2**BITS).astype(np.int32)], 255, cv2.LINE_AA, BITS)
    return mask
