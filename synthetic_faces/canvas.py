"""A canvas over the unrolled skin of a head; everything is drawn in frontal coordinates of the head."""

import cv2
import numpy as np

from synthetic_faces.head import Head

COARSE_BLUR = 4.0  # pixels; wider blurs are computed at a quarter of the resolution
FIXED_POINT_BITS = 4  # fractional bits of the coordinates that OpenCV draws at


class Canvas:
    """The texture of a head's mesh.

    Args:
        head: of the face.
        height: in pixels.
        width: in pixels.
        colour: (3,), screen RGB in [0, 1].
        gloss: fraction of light that is reflected as a highlight.

    Attributes:
        pixels: (height, width, 4), float32: screen RGB in [0, 1], and the fraction of light that is reflected as a
            highlight.
    """

    def __init__(self, head: Head, height: int, width: int, colour: np.ndarray, gloss: float):
        self.head, self.height, self.width = head, height, width
        self.pixels = np.empty((height, width, 4), np.float32)
        self.pixels[:] = *colour, gloss
        self.unit = height / 4.0  # pixels of a head unit, roughly

    def to_pixels(self, points: np.ndarray) -> np.ndarray:
        """Transform frontal coordinates (n, 2) to pixels (n, 2) of the canvas."""
        return self.head.to_uv(points) * [self.width - 1, self.height - 1]

    def get_region(self, points: np.ndarray, margin: float) -> tuple[slice, slice, np.ndarray]:
        """Return the rows and columns around points (n, 2), and the points in pixels of this region.

        Args:
            points: (n, 2), frontal coordinates.
            margin: around the points, head units.
        """
        pixels = self.to_pixels(points)
        pad = margin * self.unit + 2
        left, top = np.floor(np.maximum(pixels.min(axis=0) - pad, 0)).astype(int)
        right, bottom = np.ceil(np.minimum(pixels.max(axis=0) + pad, [self.width - 1, self.height - 1])).astype(int)
        return slice(top, max(bottom, top) + 1), slice(left, max(right, left) + 1), pixels - [left, top]

    def fill(
        self, outline: np.ndarray, colour, opacity: float = 1.0, soft: float = 0.0, within: np.ndarray | None = None
    ):
        """Fill an outline.

        Args:
            outline: (n, 2), frontal coordinates.
            colour: (3,), or (4,) with the gloss.
            opacity: in [0, 1].
            soft: blur of the edge in head units; default: none.
            within: outline (n, 2) that is not left; default: none.
        """
        rows, columns, pixels = self.get_region(outline, 3 * soft)
        mask = _fill_mask(pixels, rows, columns)
        self._blend(mask, rows, columns, colour, opacity, soft, within)

    def spot(self, centre, radii, colour, opacity: float = 1.0, soft: float = 0.0, within: np.ndarray | None = None):
        """Fill an ellipse; for the arguments see `fill`."""
        angle = np.linspace(0, 2 * np.pi, 28, endpoint=False)
        outline = np.stack([centre[0] + radii[0] * np.cos(angle), centre[1] + radii[1] * np.sin(angle)], axis=-1)
        self.fill(outline, colour, opacity, soft, within)

    def strokes(
        self, lines: list[np.ndarray], colour, width: float, opacity: float = 1.0, soft: float = 0.0, within=None
    ):
        """Draw lines, each (n, 2), `width` head units thick; for the other arguments see `fill`."""
        rows, columns, pixels = self.get_region(np.concatenate(lines), width + 3 * soft)
        ends = np.cumsum([len(line) for line in lines])[:-1]
        corners = np.split(to_fixed_point(pixels), ends)
        mask = np.zeros((rows.stop - rows.start, columns.stop - columns.start), np.uint8)
        thickness = width * self.unit
        strength = min(thickness, 1.0)  # lines thinner than a pixel are drawn fainter
        cv2.polylines(mask, corners, False, 255, max(1, round(thickness)), cv2.LINE_AA, FIXED_POINT_BITS)
        self._blend(mask, rows, columns, colour, opacity * strength, soft, within)

    def shade(self, mask: np.ndarray, colour, rows: slice = slice(None), columns: slice = slice(None)) -> None:
        """Blend a colour (3,), or (4,) with the gloss, into a region.

        Args:
            mask: (height, width) of the region, weights in [0, 1].
            colour: screen RGB, and perhaps the gloss.
            rows: of the region; default: all.
            columns: of the region; default: all.
        """
        part = self.pixels[rows, columns, : len(colour)]
        part += mask[..., None] * (np.asarray(colour, np.float32) - part)

    def _blend(self, mask, rows, columns, colour, opacity, soft, within):
        if soft:
            mask = _blur_mask(mask, max(soft * self.unit, 0.3))
        weights = mask * np.float32(opacity / 255)
        if within is not None:
            border = self.to_pixels(within) - [columns.start, rows.start]
            weights *= _fill_mask(border, rows, columns) * np.float32(1 / 255)
        self.shade(weights, colour, rows, columns)


def to_fixed_point(pixels: np.ndarray) -> np.ndarray:
    """Return x and y of points (n, 2 or more) as OpenCV draws them, with FIXED_POINT_BITS."""
    return np.round(pixels[:, :2] * 2**FIXED_POINT_BITS).astype(np.int32)


def _blur_mask(mask: np.ndarray, sigma: float) -> np.ndarray:
    """Return a blurred mask; a wide blur is computed at a quarter of the resolution."""
    if sigma < COARSE_BLUR:
        return cv2.GaussianBlur(mask, (0, 0), sigma)
    height, width = mask.shape
    small = cv2.resize(mask, (-(-width // 4), -(-height // 4)), interpolation=cv2.INTER_AREA)
    return cv2.resize(cv2.GaussianBlur(small, (0, 0), sigma / 4), (width, height), interpolation=cv2.INTER_LINEAR)


def _fill_mask(outline: np.ndarray, rows: slice, columns: slice) -> np.ndarray:
    mask = np.zeros((rows.stop - rows.start, columns.stop - columns.start), np.uint8)
    cv2.fillPoly(mask, [to_fixed_point(outline)], 255, cv2.LINE_AA, FIXED_POINT_BITS)
    return mask
