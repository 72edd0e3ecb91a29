"""Light on sheets: one lamp with cast shadows, a fill from the other side, and the light of the surroundings."""

from dataclasses import dataclass

import cv2
import numpy as np

from synthetic_faces.parameters import FaceParameters
from synthetic_faces.raster import Sheet, depth, normals, sample

SHADOW_SIDE = 128  # pixels of the lamp's own view
SHADOW_REACH = 4.2  # head units it spans
SHADOW_BIAS = 0.12
WRAP = np.array([0.3, 0.16, 0.12], np.float32)  # how far light goes around the edge of skin: red farthest
FILL = 0.18  # of the lamp's light, from its other side
SHARPNESS = 18  # of highlights
VIEW = np.array([0, 0, 1], np.float32)


@dataclass(frozen=True)
class Light:
    """direction: unit vector towards the lamp, camera coordinates. key, ambient: linear colours of it and around."""

    direction: np.ndarray
    key: np.ndarray
    ambient: np.ndarray

    @classmethod
    def of(cls, parameters: FaceParameters, behind: np.ndarray, rng: np.random.Generator) -> "Light":
        """The light of a picture. behind: mean colour (3,) of the background, which the surroundings share."""
        look = parameters.look
        direction = np.array([look.light_x, look.light_y, 0.12 if look.hard_light else 0.4 + look.light_z], np.float32)
        strength = 0.95 if look.hard_light else 0.35 + 0.5 * look.intensity
        around = 0.75 + 0.25 * behind / max(float(behind.mean()), 1e-3)
        warmth = 1 + rng.uniform(-0.08, 0.12) * np.array([1, 0, -1])
        if look.coloured_light:
            warmth = rng.uniform(0.55, 1.1, 3)
        ambient = (0.2 if look.hard_light else 0.62 - 0.25 * look.intensity) * around
        if look.back_light:
            strength, ambient = 0.12 * strength, 0.35 * ambient
        direction /= np.linalg.norm(direction)
        return cls(direction, (strength * warmth).astype(np.float32), ambient.astype(np.float32))


def shadow_map(sheets: list[Sheet], light: Light) -> tuple[np.ndarray, np.ndarray]:
    """The nearest thing to the lamp over its view (side, side), and the axes (3, 3) of that view."""
    ahead = light.direction
    across = np.cross([0, 1, 0], ahead)
    across = across / np.linalg.norm(across)
    axes = np.stack([across, np.cross(ahead, across), ahead]).astype(np.float32)
    nearest = np.full(SHADOW_SIDE * SHADOW_SIDE, -1e3, np.float32)
    for sheet in (sheet for sheet in sheets if sheet.casts_shadow):
        pixels, near = depth(_from_lamp(sheet.points, axes), SHADOW_SIDE, sheet.alpha)
        nearest[pixels] = np.maximum(nearest[pixels], near)
    return nearest.reshape(SHADOW_SIDE, SHADOW_SIDE), axes


def _from_lamp(points: np.ndarray, axes: np.ndarray) -> np.ndarray:
    """Camera coordinates to pixels of the lamp's view and nearness."""
    seen = points @ axes.T
    seen[..., :2] = seen[..., :2] * np.float32(SHADOW_SIDE / SHADOW_REACH) + np.float32(SHADOW_SIDE / 2)
    return seen


def illuminate(sheet: Sheet, light: Light, nearest: np.ndarray, axes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Diffuse light (rows, columns, 3) and highlight (rows, columns) at every grid point of a sheet."""
    normal = normals(sheet.points)
    if sheet.both_sides:
        normal = np.where(normal[..., 2:] < 0, -normal, normal)
    direction = light.direction.astype(np.float32)
    lamp = normal @ direction
    seen = _from_lamp(sheet.points, axes)
    flat = sample(nearest, seen[..., 0].ravel(), seen[..., 1].ravel()).reshape(lamp.shape)
    lit = (seen[..., 2] > flat - SHADOW_BIAS).astype(np.float32)
    lit = cv2.GaussianBlur(lit, (0, 0), 1.6)
    wrapped = np.maximum(lamp[..., None] + WRAP, 0) / (1 + WRAP)
    ambient = light.ambient * (0.8 - 0.25 * normal[..., 1:2])  # more from above
    if sheet.ambient is not None:
        ambient = ambient * sheet.ambient[..., None]
    other = np.maximum(normal @ (direction * np.array([-1, 0.3, 1], np.float32)), 0)[..., None]
    diffuse = ambient + light.key * (wrapped * lit[..., None] + FILL * other)
    half = direction + VIEW
    half = half / np.linalg.norm(half)
    shine = np.maximum(normal @ half.astype(np.float32), 0) ** SHARPNESS
    return diffuse.astype(np.float32), (shine * lit).astype(np.float32)
