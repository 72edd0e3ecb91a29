"""Light on surfaces: one lamp with cast shadows, a fill light from the opposite side, and ambient light."""

from dataclasses import dataclass

import cv2
import numpy as np

from synthetic_faces.parameters import FaceParameters
from synthetic_faces.raster import Surface, bilinear_sample, depth_map, get_normals

SHADOW_SIZE = 128  # pixels of the shadow map
SHADOW_EXTENT = 4.2  # head units it spans
SHADOW_BIAS = 0.12  # head units
EMPTY = -1e3  # depth of the shadow map outside all surfaces
WRAP = np.array([0.3, 0.16, 0.12], np.float32)  # how far light wraps around the edge of skin: red farthest
FILL = 0.18  # fill light, fraction of the lamp's
SHARPNESS = 18  # of highlights
VIEW = np.array([0, 0, 1], np.float32)


@dataclass(frozen=True)
class Light:
    """The light of an image.

    Attributes:
        direction: (3,) unit vector towards the lamp, in camera coordinates.
        key: (3,) linear RGB of the lamp.
        ambient: (3,) linear RGB of the surrounding light.
    """

    direction: np.ndarray
    key: np.ndarray
    ambient: np.ndarray

    @classmethod
    def from_parameters(cls, parameters: FaceParameters, surroundings: np.ndarray, rng: np.random.Generator) -> "Light":
        """Draw the light of a face.

        Args:
            parameters: of the face.
            surroundings: (3,) mean colour of the background, which tints the ambient light.
            rng: random generator.
        """
        appearance = parameters.appearance
        hard = appearance.hard_light
        direction = np.array(
            [appearance.light_x, appearance.light_y, 0.12 if hard else 0.4 + appearance.light_z], np.float32
        )
        strength = 0.95 if hard else 0.35 + 0.5 * appearance.intensity
        around = 0.75 + 0.25 * surroundings / max(float(surroundings.mean()), 1e-3)
        warmth = 1 + rng.uniform(-0.08, 0.12) * np.array([1, 0, -1])
        if appearance.coloured_light:
            warmth = rng.uniform(0.55, 1.1, 3)
        ambient = (0.2 if hard else 0.62 - 0.25 * appearance.intensity) * around
        if appearance.back_light:
            strength, ambient = 0.12 * strength, 0.35 * ambient
        direction /= np.linalg.norm(direction)
        return cls(direction, (strength * warmth).astype(np.float32), ambient.astype(np.float32))


def shadow_map(surfaces: list[Surface], light: Light) -> tuple[np.ndarray, np.ndarray]:
    """Return the depth map (size, size) of all surfaces seen from the lamp, and the axes (3, 3) of that view."""
    ahead = light.direction
    across = np.cross([0, 1, 0], ahead)
    across = across / np.linalg.norm(across)
    axes = np.stack([across, np.cross(ahead, across), ahead]).astype(np.float32)
    depth = np.full((SHADOW_SIZE, SHADOW_SIZE), EMPTY, np.float32)
    for surface in (surface for surface in surfaces if surface.casts_shadow):
        depth = np.maximum(depth, depth_map(_to_lamp(surface.points, axes), SHADOW_SIZE, surface.alpha))
    return depth, axes


def _to_lamp(points: np.ndarray, axes: np.ndarray) -> np.ndarray:
    """Project camera coordinates (..., 3) to pixels and depth of the lamp's view."""
    projected = points @ axes.T
    projected[..., :2] = projected[..., :2] * np.float32(SHADOW_SIZE / SHADOW_EXTENT) + np.float32(SHADOW_SIZE / 2)
    return projected


def illuminate(surface: Surface, light: Light, shadow: np.ndarray, axes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return diffuse light (rows, columns, 3) and highlight (rows, columns) at every grid point of a surface.

    Args:
        surface: in camera coordinates.
        light: of the image.
        shadow: depth map of `shadow_map`.
        axes: axes of `shadow_map`.
    """
    normal = get_normals(surface.points)
    if surface.two_sided:
        normal = np.where(normal[..., 2:] < 0, -normal, normal)
    direction = light.direction.astype(np.float32)
    lamp = normal @ direction
    projected = _to_lamp(surface.points, axes)
    nearest = bilinear_sample(shadow, projected[..., 0].ravel(), projected[..., 1].ravel()).reshape(lamp.shape)
    lit = (projected[..., 2] > nearest - SHADOW_BIAS).astype(np.float32)
    lit = cv2.GaussianBlur(lit, (0, 0), 1.6)
    wrapped = np.maximum(lamp[..., None] + WRAP, 0) / (1 + WRAP)
    ambient = light.ambient * (0.8 - 0.25 * normal[..., 1:2])  # more from above
    if surface.ambient is not None:
        ambient = ambient * surface.ambient[..., None]
    fill = np.maximum(normal @ (direction * np.array([-1, 0.3, 1], np.float32)), 0)[..., None]
    diffuse = ambient + light.key * (wrapped * lit[..., None] + FILL * fill)
    half = direction + VIEW
    half = half / np.linalg.norm(half)
    highlight = np.maximum(normal @ half.astype(np.float32), 0) ** SHARPNESS
    return diffuse.astype(np.float32), (highlight * lit).astype(np.float32)
