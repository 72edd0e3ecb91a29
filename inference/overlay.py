"""Drawings of faces on pictures: contours as lines, landmarks as dots coloured by confidence, boxes with scores."""

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
MAX_COORDINATE = 2**20  # pixels; OpenCV opens no wider picture, and it is still an int32 in the units below
SHIFT = 4  # OpenCV draws at fractions of a pixel: coordinates are in units of 2 ** -SHIFT pixels
DOT_RADIUS = 0.008  # fraction of the face's longer side; line widths follow from it
CONFIDENCE_COLOURS = cv2.applyColorMap(np.arange(256, dtype=np.uint8)[:, None], cv2.COLORMAP_VIRIDIS)[:, 0, ::-1]


def draw_faces(image: np.ndarray, faces: Sequence[Face], layout: Layout) -> np.ndarray:
    """Return a copy of an image with its faces drawn on it.

    The colour of a landmark ranges from dark violet (confidence 0) over green to yellow (1). For a face with an
    outline, its contours and anchors are drawn instead of its landmarks.

    Args:
        image: uint8 RGB (height, width, 3).
        faces: the faces.
        layout: layout of the landmarks.
    """
    drawn = np.ascontiguousarray(image).copy()
    for face in faces:
        points, drawn_as = (face.landmarks, layout) if face.outline is None else (face.outline, OUTLINE_LAYOUT)
        corners = finite(points)
        side = min(longer_side(corners if len(corners) else face.box.reshape(2, 2)), MAX_COORDINATE)
        radius = max(1.0, DOT_RADIUS * side)
        width = max(1, round(radius / 2))
        left_top, right_bottom = face.box.reshape(2, 2).clip(-MAX_COORDINATE, MAX_COORDINATE).round().astype(int)
        cv2.rectangle(drawn, left_top.tolist(), right_bottom.tolist(), BOX_COLOUR, width)
        for chain in drawn_as.chains:
            line = _to_units(finite(points[chain.path]))
            cv2.polylines(drawn, [line], False, CONTOUR_COLOUR, width, cv2.LINE_AA, SHIFT)
        dots = finite(points[drawn_as.dots])
        colours = confidence_colours(face) if face.outline is None else [PLAIN_COLOUR] * len(dots)
        for dot, colour in zip(_to_units(dots), colours, strict=True):
            cv2.circle(drawn, dot.tolist(), int(radius * 2**SHIFT), colour, cv2.FILLED, cv2.LINE_AA, SHIFT)
        track = "" if face.track is None else f"{face.track}: "
        text = f"{track}{face.score:.2f}"
        size = max(0.35, side / 350)
        cv2.putText(drawn, text, left_top.tolist(), cv2.FONT_HERSHEY_SIMPLEX, size, BOX_COLOUR, width, cv2.LINE_AA)
    return drawn


def confidence_colours(face: Face) -> list[tuple[int, int, int]]:
    """Return the RGB colour of every landmark of a face."""
    if face.confidence is None:
        return [PLAIN_COLOUR] * len(face.landmarks)
    return [tuple(map(int, CONFIDENCE_COLOURS[i])) for i in (face.confidence * 255).round().astype(int)]


def _to_units(points: np.ndarray) -> np.ndarray:
    """Return points (n, 2) in the units of OpenCV's drawing functions, int32."""
    return (np.clip(points, -MAX_COORDINATE, MAX_COORDINATE) * 2**SHIFT).round().astype(np.int32)
