"""Hair, caps, headbands, scarves and masks: shells around a head, and surfaces that hang from it."""

import cv2
import numpy as np

from synthetic_faces.colours import CLOTH, MASK, choose
from synthetic_faces.head import TURN, Head, grid
from synthetic_faces.parameters import FaceParameters
from synthetic_faces.raster import Surface
from synthetic_faces.textures import clouds, random_crop, streaks

CENTRE = np.array([0.0, -0.1, -0.35])  # head coordinates from which shells grow outwards
SHELL = (-np.pi / 2, 1.2)  # section angles at the ends of a shell
ROWS, COLUMNS = 72, 180
TEXTURE = (256, 480)  # rows and columns of the texture of a shell
CAP = 0.22  # distance from the skull, head units
# The hairline: angle around the head in degrees, and height y there.
HAIRLINE = np.array([
    (0, -1.1), (28, -1.1), (48, -0.9), (60, -0.62), (69, -0.2), (80, 0.2), (88, 0.26), (93, -0.05),
    (112, -0.05), (120, 0.6), (150, 1.05), (180, 1.1),
])  # fmt: skip


def build_accessories(head: Head, parameters: FaceParameters, tint, rng: np.random.Generator) -> list[Surface]:
    """Return the surfaces of hair and accessories in head coordinates.

    Args:
        head: of the face.
        parameters: of the face.
        tint: colours of the person, see `get_colours`.
        rng: random generator.
    """
    appearance = parameters.appearance
    surfaces = []
    if not appearance.bald and not appearance.scarf:
        surfaces.append(_hair(head, parameters, tint, rng))
        if appearance.long_hair:
            surfaces.append(_long_hair(head, parameters, tint, rng))
    cloth = choose(CLOTH, appearance.accent)
    if appearance.cap:
        surfaces += _cap(head, cloth)
    if appearance.headband:
        surfaces.append(_headband(head, cloth))
    if appearance.scarf:
        surfaces.append(_scarf(head, cloth, rng))
    if appearance.mask:
        surfaces.append(_mask(head, choose(MASK, appearance.accent)))
    return surfaces


def _shell(head: Head, row: np.ndarray, turn: np.ndarray, thickness: np.ndarray | float) -> np.ndarray:
    """Return the base of the head, grown outwards by a thickness (rows, columns)."""
    return _grow(head.base(row, turn), thickness)


def _grow(points: np.ndarray, thickness: np.ndarray | float) -> np.ndarray:
    """Return points (..., 3), shifted outwards by a thickness."""
    out = points - CENTRE
    return points + np.asarray(thickness)[..., None] * out / np.linalg.norm(out, axis=-1, keepdims=True)


def _enlarge(values: np.ndarray) -> np.ndarray:
    """Resize values on a grid to the resolution of a texture."""
    return cv2.resize(values.astype(np.float32), TEXTURE[::-1], interpolation=cv2.INTER_LINEAR)


def _hair(head: Head, parameters: FaceParameters, tint, rng) -> Surface:
    """Return the hair on the skull, with its hairline and perhaps a fringe."""
    appearance, person = parameters.appearance, parameters.person
    row, turn = grid(ROWS, COLUMNS, SHELL, np.pi)
    y = head.height(row)
    degrees = np.abs(np.degrees(turn))
    line = np.interp(degrees, HAIRLINE[:, 0], HAIRLINE[:, 1]) * (person.crown / -1.62)
    front = np.exp(-((degrees / 42) ** 4))
    if appearance.fringe:
        part = np.radians(60 * (appearance.hair_length - 0.5))
        line = line + front * (0.36 + 0.4 * appearance.intensity - 0.25 * np.abs(turn - part))
    elif not appearance.woman:
        line = line - front * 0.32 * max(0, person.age - 0.3) * (1 - 0.6 * np.cos(3 * turn))
    if appearance.long_hair or (appearance.woman and not appearance.hair_length < 0.2):
        line = np.maximum(line, np.interp(degrees, [74, 90], [-0.4, 1.0]))
    ragged = random_crop(streaks(2.0, 16.0), rng, *TEXTURE)
    inward = _enlarge(line - y) + (0.05 if appearance.fringe else 0.022) * ragged
    alpha = np.clip(inward / 0.05 + 0.5, 0, 1)
    depth = np.clip((line - y) / 0.3, 0, 1)
    volume = (0.07 + 0.16 * appearance.hair_length + (0.12 if appearance.curly else 0)) * depth**0.6
    lumps = cv2.resize(
        random_crop(clouds(6.0 if appearance.curly else 14.0), rng, ROWS * 2, COLUMNS * 2), (COLUMNS, ROWS)
    )
    volume = volume * (1 + (0.35 if appearance.curly else 0.12) * lumps) + 0.05
    if appearance.cap:
        volume = np.minimum(volume, 0.7 * CAP)
    return Surface.from_colour(
        _shell(head, row, turn, volume), _strands(appearance, tint, rng), gloss=0.08, alpha=alpha, two_sided=True
    )


def _strands(appearance, tint, rng, shape: tuple[int, int] = TEXTURE) -> np.ndarray:
    """Return the texture of hair, screen colours (rows, columns, 3)."""
    noise = random_crop(clouds(2.0), rng, *shape) if appearance.curly else random_crop(streaks(1.2, 30.0), rng, *shape)
    tone = 1 + 0.24 * noise + 0.1 * random_crop(clouds(10.0), rng, *shape)
    return tint.hair * np.maximum(tone, 0.25)[..., None]


def _long_hair(head: Head, parameters: FaceParameters, tint, rng) -> Surface:
    """Return long hair that falls around neck and shoulders."""
    appearance = parameters.appearance
    turn, t = np.meshgrid(np.linspace(np.radians(74), np.radians(286), 90), np.linspace(0, 1, 40))
    end = 0.9 + 1.9 * appearance.hair_length
    y = -0.3 + (end + 0.3) * t
    width = head.person.width * (1.1 + 0.12 * np.sin(np.pi * np.clip(t, 0, 0.7)) + (0.1 if appearance.curly else 0))
    wave = 0.05 * np.sin(9 * t + 3 * turn) * (1.5 if appearance.curly else 0.6)
    x = (width + wave) * np.sin(turn)
    z = -0.35 + np.where(np.cos(turn) < 0, 1.15, 0.7) * np.cos(turn) * (1 - 0.15 * t) + 0.05 * t
    ragged = random_crop(streaks(2.0, 12.0), rng, 300, 400)
    alpha = np.clip((0.97 + 0.05 * ragged - np.linspace(0, 1, 300)[:, None]) / 0.03, 0, 1).astype(np.float32)
    return Surface.from_colour(
        np.stack([x, y, z], -1), _strands(appearance, tint, rng, (300, 400)), gloss=0.08, alpha=alpha, two_sided=True
    )


def _cap(head: Head, colour: np.ndarray) -> list[Surface]:
    """Return a cap and its peak."""
    row, turn = grid(40, 96, SHELL, np.pi)
    y = head.height(row)
    edge = -0.62 + 0.22 * (1 - np.cos(turn)) / 2
    alpha = np.clip(_enlarge(edge - y) / 0.03 + 0.5, 0, 1)
    crown = Surface.from_colour(_shell(head, row, turn, CAP), colour, alpha=alpha)
    angle, reach = np.meshgrid(np.radians(np.linspace(-62, 62, 33)), np.linspace(0, 1, 16))
    start = _shell(head, head.get_row(-0.62 + 0.11 * (1 - np.cos(angle))), angle, 0.2)
    ahead = np.array([0.0, 0.2, 0.78]) * np.cos(angle)[..., None] ** 0.8
    peak = Surface.from_colour(start + reach[..., None] * ahead, 0.8 * colour, two_sided=True)
    return [crown, peak]


def _headband(head: Head, colour: np.ndarray) -> Surface:
    """Return a headband over hair and forehead."""
    row, turn = grid(48, 96, SHELL, np.pi)
    y = head.height(row)
    middle = -0.82 + 0.25 * (1 - np.cos(turn)) / 2
    alpha = np.clip((0.14 - np.abs(_enlarge(y - middle))) / 0.03 + 0.5, 0, 1)
    return Surface.from_colour(_shell(head, row, turn, 0.1), colour, alpha=alpha)


def _scarf(head: Head, colour: np.ndarray, rng) -> Surface:
    """Return a scarf around the face: over the hair, past the cheeks, down to the shoulders."""
    turn, t = np.meshgrid(np.linspace(-np.pi, np.pi, 140), np.linspace(-1, 1, 90))
    row = np.where(t < 0.25, -np.pi / 2 + (t + 1) / 1.25 * (np.pi / 2 + 0.55), 0.55)
    below = np.clip((t - 0.25) / 0.75, 0, 1)
    folds = 0.03 * np.sin(11 * turn + 4 * below) * (0.3 + below)
    points = _shell(head, row, turn, 0.13 + folds)
    points[..., 1] += 1.9 * below
    points[..., 0] *= 1 + 0.5 * below**2 - 0.1 * np.sin(np.pi * below)
    points[..., 2] -= 0.1 * below
    shape = (320, 500)
    degrees = cv2.resize(np.abs(np.degrees(turn)).astype(np.float32), shape[::-1])
    y = cv2.resize(points[..., 1].astype(np.float32), shape[::-1])
    oval = (degrees / 66) ** 2.6 + (np.abs(y - 0.5) / (head.chin - 0.46)) ** 2.6 > 1
    alpha = cv2.GaussianBlur(oval.astype(np.float32), (0, 0), 1.5)
    tone = 1 + 0.1 * random_crop(clouds(8.0), rng, *shape) + 0.05 * random_crop(clouds(1.0), rng, *shape)
    return Surface.from_colour(points, colour * tone[..., None], alpha=alpha, two_sided=True)


def _mask(head: Head, colour: np.ndarray) -> Surface:
    """Return a mask over nose, mouth and chin."""
    row, turn = grid(90, 101, (-0.2, np.pi / 2), TURN)
    base = head.base(row, turn)
    relief = cv2.dilate(head.skin(row, turn)[..., 2] - base[..., 2], np.ones((9, 9)))
    base[..., 2] += cv2.GaussianBlur(relief, (0, 0), 3)  # cloth spans the hollows of the relief
    points = _grow(base, 0.04)
    shape = (270, 300)
    x, y = (cv2.resize(points[..., k].astype(np.float32), shape[::-1]) for k in (0, 1))
    degrees = np.abs(np.degrees(np.linspace(-TURN, TURN, shape[1], dtype=np.float32)))
    top = 0.2 + 0.28 * np.abs(x) ** 1.4
    cloth = np.minimum((y - top) / 0.03, (66 - degrees) / 2.5)
    strap = np.maximum((0.018 - np.abs(y - 0.42 + 0.1 * (degrees - 66) / 40)) / 0.01, (0.018 - np.abs(y - 0.95)) / 0.01)
    alpha = np.clip(np.maximum(cloth, np.where(degrees > 60, strap, -1)) + 0.5, 0, 1).astype(np.float32)
    pleats = 1 - 0.12 * (np.abs((y - top) % 0.22 - 0.11) < 0.012)
    return Surface.from_colour(points, colour * pleats[..., None], alpha=alpha)
