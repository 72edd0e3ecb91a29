"""Drawing faces over a picture: contours as lines, landmarks as dots coloured by confidence, the box with its score."""

from collections.abc import Sequence

import cv2
import numpy as np

from ace_net.outlines import OUTLINE_LAYOUT, finite
from face_datasets.layouts import Layout
from image_utility import longer_side
from inference.predictor import Face

CONTOUR_COLOUR = (255, 255, 255)
BOX_COLOUR = (0, 160, 255)
PLAIN_COLOUR = (255, 230, 40)  # of landmarks without confidence
LIMIT = 2**20  # pixels; OpenCV opens no wider picture, and it is still an int32 in the units below
SHIFT = 4  # OpenCV draws at fractions of a pixel: coordinates are given in units of 2 ** -SHIFT pixels
DOT = 0.008  # radius, as a share of the face's longer side; line widths go with it
CONFIDENCE_COLOURS = cv2.applyColorMap(np.arange(256, dtype=np.uint8)[:, None], cv2.COLORMAP_VIRIDIS)[:, 0, ::-1]


def draw_faces(image: np.ndarray, faces: Sequence[Face], layout: Layout) -> np.ndarray:
    """A copy of an image, uint8 RGB (height, width, 3), with its faces drawn over it.

    Landmarks go from dark violet (confidence 0) over green to yellow (1). Of a face with an outline its contours and
    anchors are drawn in their place.
    """
    drawn = np.ascontiguousarray(image).copy()
    for face in faces:
        points, drawn_as = (face.landmarks, layout) if face.outline is None else (face.outline, OUTLINE_LAYOUT)
        there = finite(points)
        side = min(longer_side(there if len(there) else face.box.reshape(2, 2)), LIMIT)
        radius = max(1.0, DOT * side)
        width = max(1, round(radius / 2))
        left_top, right_bottom = face.box.reshape(2, 2).clip(-LIMIT, LIMIT).round().astype(int)
        cv2.rectangle(drawn, left_top.tolist(), right_bottom.tolist(), BOX_COLOUR, width)
        for chain in drawn_as.chains:
            line = _units(finite(points[chain.path]))
            cv2.polylines(drawn, [line], False, CONTOUR_COLOUR, width, cv2.LINE_AA, SHIFT)
        dots = finite(points[drawn_as.dots])
        shades = colours(face) if face.outline is None else [PLAIN_COLOUR] * len(dots)
        for place, colour in zip(_units(dots), shades, strict=True):
            cv2.circle(drawn, place.tolist(), int(radius * 2**SHIFT), colour, cv2.FILLED, cv2.LINE_AA, SHIFT)
        track = "" if face.track is None else f"{face.track}: "
        text = f"{track}{face.score:.2f}"
        size = max(0.35, side / 350)
        cv2.putText(drawn, text, left_top.tolist(), cv2.FONT_HERSHEY_SIMPLEX, size, BOX_COLOUR, width, cv2.LINE_AA)
    return drawn


def colours(face: Face) -> list[tuple[int, int, int]]:
    """The RGB colour of every landmark of a face."""
    if face.confidence is None:
        return [PLAIN_COLOUR] * len(face.landmarks)
    return [tuple(map(int, CONFIDENCE_COLOURS[i])) for i in (face.confidence * 255).round().astype(int)]


def _units(points: np.ndarray) -> np.ndarray:
    """Points (n, 2) in the units OpenCV draws in, int32."""
    return (np.clip(points, -LIMIT, LIMIT) * 2**SHIFT).round().astype(np.int32)
