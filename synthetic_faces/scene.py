"""One head put together: its sheets, and the pixels that see them."""

from dataclasses import dataclass

import cv2
import numpy as np

from synthetic_faces.accessories import worn
from synthetic_faces.body import body, ears
from synthetic_faces.camera import Camera
from synthetic_faces.colours import colours
from synthetic_faces.face_texture import paint_face
from synthetic_faces.head import Head
from synthetic_faces.light import Light, illuminate, shadow_map
from synthetic_faces.parameters import FaceParameters
from synthetic_faces.raster import Sheet, sample, seen_pixels

PAINT_ROWS, PAINT_COLUMNS = 350, 318  # of the face's texture
NOTHING = -1e3  # nearness where no sheet is


@dataclass
class View:
    """A picture before it is a photograph: linear colours (side, side, 3), coverage and nearness (side, side)."""

    colour: np.ndarray
    covered: np.ndarray
    near: np.ndarray


def build(head: Head, parameters: FaceParameters, rng: np.random.Generator, detail: float) -> list[Sheet]:
    """All sheets of a face in camera coordinates, the face itself first. detail: of paint, 1 for 256 pixels."""
    camera = Camera.of(parameters.pose)
    canvas = paint_face(head, parameters, rng, round(detail * PAINT_ROWS), round(detail * PAINT_COLUMNS))
    points = head.mesh
    hollow = 1 - np.clip(4.0 * (_blurred(points[..., 2]) - points[..., 2]), -0.15, 0.4)
    canvas.pixels[..., :3] **= 2  # from a screen's numbers to light
    face = Sheet(points, canvas.pixels, ambient=hollow.astype(np.float32))
    tint = colours(parameters)
    shown = [] if parameters.look.scarf else ears(head, tint.skin)
    sheets = [face, *shown, *worn(head, parameters, tint, rng)]
    for sheet in sheets:
        sheet.points = camera.see(sheet.points).astype(np.float32)
    sheets += body(head, parameters, camera, tint.skin, rng)
    return sheets


def _blurred(depth: np.ndarray) -> np.ndarray:
    return cv2.GaussianBlur(depth, (0, 0), 3.5)


def render(sheets: list[Sheet], camera: Camera, light: Light, side: int) -> View:
    """What the camera sees, side x side pixels."""
    nearest, axes = shadow_map(sheets, light)
    colour = np.zeros((side * side, 3), np.float32)
    near = np.full(side * side, NOTHING, np.float32)
    for sheet in sheets:
        screen = camera.project(sheet.points).astype(np.float32)
        screen[..., :2] = screen[..., :2] * side - 0.5
        hits = seen_pixels(screen, side, sheet.both_sides, sheet.alpha)
        nearer = hits.near > near[hits.pixels]
        pixels, u, v = hits.pixels[nearer], hits.u[nearer], hits.v[nearer]
        if not len(pixels):
            continue
        near[pixels] = hits.near[nearer]
        diffuse, shine = illuminate(sheet, light, nearest, axes)
        lit = sample(np.concatenate([diffuse, shine[..., None]], axis=-1), u, v)
        rows, columns = sheet.points.shape[:2]
        height, width = sheet.paint.shape[:2]
        paint = sample(
            sheet.paint, u * np.float32((width - 1) / (columns - 1)), v * np.float32((height - 1) / (rows - 1))
        )
        colour[pixels] = paint[:, :3] * lit[:, :3] + paint[:, 3:] * lit[:, 3:] * light.key
    return View(colour.reshape(side, side, 3), (near > NOTHING).reshape(side, side), near.reshape(side, side))
