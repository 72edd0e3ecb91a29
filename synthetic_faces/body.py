"""Neck, shoulders and ears."""

import numpy as np

from synthetic_faces.camera import PIVOT, Camera, rotation
from synthetic_faces.colours import CLOTH, choose
from synthetic_faces.head import Head
from synthetic_faces.parameters import FaceParameters
from synthetic_faces.raster import Surface
from synthetic_faces.textures import clouds, random_crop

INSIDE = np.array([0.96, 1, 1])  # scale of the jaw line at which the neck begins
EAR = (0.19, 0.33)  # half its width and height, head units


def build_ears(head: Head, skin: np.ndarray) -> list[Surface]:
    """Return the surfaces of both ears in head coordinates; `skin` is a screen colour (3,)."""
    angle, r = np.meshgrid(np.linspace(0, 2 * np.pi, 41), np.linspace(0.02, 1, 15))
    shade = 1 - 0.5 * np.exp(-(((r - 0.35) / 0.25) ** 2)) - 0.3 * np.exp(-(((r - 0.8) / 0.07) ** 2))
    colour = (skin * [0.97, 0.82, 0.78]) * shade[..., None]
    surfaces = []
    for side in (-1, 1):
        row = head.get_row(0.2)
        root = head.base(row, side * np.radians(99))
        back, up, out = np.array([side * 0.5, 0, -0.87]), np.array([0, 1.0, -0.12]), np.array([side, 0, 0.3])
        lobe = 1 - 0.25 * np.clip(np.sin(angle), 0, 1)
        points = (
            root
            + back * (0.1 + EAR[0] * r * np.cos(angle) * lobe)[..., None]
            + up * (EAR[1] * r * np.sin(angle))[..., None]
            + out * (0.01 + 0.07 * r**2)[..., None]
        )
        points = points[:, ::side]
        surfaces.append(Surface.from_colour(points, colour, gloss=0.04, two_sided=True, casts_shadow=False))
    return surfaces


def build_body(
    head: Head, parameters: FaceParameters, camera: Camera, skin: np.ndarray, rng: np.random.Generator
) -> list[Surface]:
    """Return the surfaces of neck, with the underside of the jaw, and shoulders in camera coordinates.

    Args:
        head: of the face.
        parameters: of the face; the shoulders rotate less than the head.
        camera: of the face.
        skin: (3,), screen colour.
        rng: random generator.
    """
    pose, appearance, person = parameters.pose, parameters.appearance, parameters.person
    torso_rotation = rotation(pose.body_yaw * 0.6 + 0.3 * pose.yaw, 0.15 * pose.pitch, 0.15 * pose.roll)

    def to_torso(points: np.ndarray) -> np.ndarray:
        return (points - PIVOT) @ torso_rotation.T

    angle, t = np.meshgrid(np.radians(np.linspace(-125, 125, 61)), np.linspace(0, 1, 24))
    radius = person.neck * (1 + 0.06 * person.weight)
    side_row = head.get_row(head.chin - 0.85)
    row = np.where(np.cos(angle) > 0, side_row + (1.56 - side_row) * np.cos(angle) ** 2, side_row)
    jaw = head.base(row, np.sign(angle) * np.pi / 2) * INSIDE - [0, 0.09, 0]  # it begins inside the face
    ring = np.stack(
        [radius * np.sin(angle), np.full(angle.shape, head.chin + 0.22), -0.42 + 0.62 * radius * np.cos(angle)], -1
    )
    base = np.stack(
        [1.12 * radius * np.sin(angle), np.full(angle.shape, head.chin + 0.95), -0.5 + 0.66 * radius * np.cos(angle)],
        -1,
    )
    under, down = np.clip(t / 0.35, 0, 1)[..., None], np.clip((t - 0.35) / 0.65, 0, 1)[..., None]
    upper = camera.to_camera((1 - under) * jaw + under * ring)
    neck = np.where(t[..., None] < 0.35, upper, (1 - down) * camera.to_camera(ring) + down * to_torso(base))
    tone = 0.82 * skin * (1 + 0.02 * random_crop(clouds(3.0), rng, 60, 80))[..., None]

    occlusion = 0.5 + 0.5 * np.clip((t - 0.3) / 0.4, 0, 1)  # less ambient light under the chin
    around, s = np.meshgrid(np.radians(np.linspace(-125, 125, 121)), np.linspace(0, 1, 90))
    open_by = 0.1 + 0.25 * appearance.beard_length
    wide = 0.62 + open_by + (2.3 - open_by) * np.clip(s / 0.6, 0, 1) ** 0.75
    y = (
        head.chin
        + 0.38
        + 0.2 * appearance.beard_length
        + 0.75 * np.clip(s / 0.6, 0, 1) ** 1.6
        + 3.2 * np.clip((s - 0.55) / 0.45, 0, 1)
    )
    shoulders = np.stack(
        [wide * np.sin(around), y - 0.12 * np.cos(around) * (1 - s), -0.5 + (0.3 + 0.36 * wide) * np.cos(around)], -1
    )
    cloth = choose(CLOTH, appearance.cloth)
    weave = 1 + 0.05 * random_crop(clouds(1.0), rng, 120, 200) + 0.08 * random_crop(clouds(12.0), rng, 120, 200)
    if appearance.accent > 0.7:
        weave *= np.where((np.arange(120) // 10 % 2)[:, None], 0.75, 1.0)
    return [
        Surface.from_colour(neck, tone, two_sided=True, casts_shadow=False, ambient=occlusion.astype(np.float32)),
        Surface.from_colour(to_torso(shoulders), cloth * weave[..., None], two_sided=True, casts_shadow=False),
    ]
