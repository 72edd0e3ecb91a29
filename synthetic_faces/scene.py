"""The scene of one face: its surfaces, and their rendering."""

from dataclasses import dataclass

import cv2
import numpy as np

from synthetic_faces.accessories import build_accessories
from synthetic_faces.body import build_body, build_ears
from synthetic_faces.camera import Camera
from synthetic_faces.colours import get_colours
from synthetic_faces.face_texture import paint_face
from synthetic_faces.head import Head
from synthetic_faces.light import Light, illuminate, shadow_map
from synthetic_faces.parameters import FaceParameters
from synthetic_faces.raster import Surface, bilinear_sample, rasterise

TEXTURE_ROWS, TEXTURE_COLUMNS = 350, 318  # of the face, for an image of 256 pixels
EMPTY = -1e3  # depth where no surface is


@dataclass
class View:
    """A rendered image before the effects of the camera.

    Attributes:
        colour: (size, size, 3), linear RGB.
        foreground: (size, size), bool: pixels that do not show the background.
        depth: (size, size), larger is nearer to the viewer, head units.
    """

    colour: np.ndarray
    foreground: np.ndarray
    depth: np.ndarray


def build_surfaces(head: Head, parameters: FaceParameters, rng: np.random.Generator, detail: float) -> list[Surface]:
    """Return all surfaces of a face in camera coordinates, the face itself first.

    Args:
        head: of the face.
        parameters: of the face.
        rng: random generator.
        detail: resolution of the face's texture; 1 for an image of 256 pixels.
    """
    camera = Camera.from_pose(parameters.pose)
    rows, columns = round(detail * TEXTURE_ROWS), round(detail * TEXTURE_COLUMNS)
    canvas = paint_face(head, parameters, rng, rows, columns)
    points = head.mesh
    occlusion = 1 - np.clip(4.0 * (cv2.GaussianBlur(points[..., 2], (0, 0), 3.5) - points[..., 2]), -0.15, 0.4)
    canvas.pixels[..., :3] **= 2  # from screen colours to linear ones
    face = Surface(points, canvas.pixels, ambient=occlusion.astype(np.float32))
    tint = get_colours(parameters)
    ears = [] if parameters.appearance.scarf else build_ears(head, tint.skin)
    surfaces = [face, *ears, *build_accessories(head, parameters, tint, rng)]
    for surface in surfaces:
        surface.points = camera.to_camera(surface.points).astype(np.float32)
    surfaces += build_body(head, parameters, camera, tint.skin, rng)
    return surfaces


def render_surfaces(surfaces: list[Surface], camera: Camera, light: Light, size: int) -> View:
    """Render surfaces in camera coordinates to a view of size x size pixels."""
    shadow, axes = shadow_map(surfaces, light)
    colour = np.zeros((size * size, 3), np.float32)
    depth = np.full(size * size, EMPTY, np.float32)
    for surface in surfaces:
        screen = camera.project(surface.points).astype(np.float32)
        screen[..., :2] = screen[..., :2] * size - 0.5
        fragments = rasterise(screen, size, surface.two_sided, surface.alpha)
        nearer = fragments.depth > depth[fragments.pixels]
        pixels, u, v = fragments.pixels[nearer], fragments.u[nearer], fragments.v[nearer]
        if not len(pixels):
            continue
        depth[pixels] = fragments.depth[nearer]
        diffuse, highlight = illuminate(surface, light, shadow, axes)
        lit = bilinear_sample(np.concatenate([diffuse, highlight[..., None]], axis=-1), u, v)
        rows, columns = surface.points.shape[:2]
        height, width = surface.texture.shape[:2]
        texture = bilinear_sample(
            surface.texture, u * np.float32((width - 1) / (columns - 1)), v * np.float32((height - 1) / (rows - 1))
        )
        colour[pixels] = texture[:, :3] * lit[:, :3] + texture[:, 3:] * lit[:, 3:] * light.key
    return View(colour.reshape(size, size, 3), (depth > EMPTY).reshape(size, size), depth.reshape(size, size))
