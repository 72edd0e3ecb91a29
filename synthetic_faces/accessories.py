"""What a head wears: hair, caps, headbands, scarves and masks, as shells around it and sheets that hang from it."""

import cv2
import numpy as np

from synthetic_faces.colours import CLOTH, MASK, choose
from synthetic_faces.head import TURN, Head, grid
from synthetic_faces.parameters import FaceParameters
from synthetic_faces.raster import Sheet, painted
from synthetic_faces.textures import clouds, piece, streaks

CENTRE = np.array([0.0, -0.1, -0.35])  # shells grow away from here
SHELL = (-np.pi / 2, 1.2)  # rows of a shell
ROWS, COLUMNS = 72, 180
PAINT = (256, 480)  # texture of a shell
CAP = 0.22  # head units from the skull
# A hairline: turn around the head in degrees, height there.
HAIRLINE = np.array([
    (0, -1.1), (28, -1.1), (48, -0.9), (60, -0.62), (69, -0.2), (80, 0.2), (88, 0.26), (93, -0.05),
    (112, -0.05), (120, 0.6), (150, 1.05), (180, 1.1),
])  # fmt: skip


def worn(head: Head, parameters: FaceParameters, tint, rng: np.random.Generator) -> list[Sheet]:
    """Everything worn, in head coordinates."""
    look = parameters.look
    sheets = []
    if not look.bald and not look.scarf:
        sheets.append(_hair(head, parameters, tint, rng))
        if look.long_hair:
            sheets.append(_hanging(head, parameters, tint, rng))
    cloth = choose(CLOTH, look.accent)
    if look.cap:
        sheets += _cap(head, cloth)
    if look.headband:
        sheets.append(_band(head, cloth))
    if look.scarf:
        sheets.append(_scarf(head, cloth, rng))
    if look.mask:
        sheets.append(_mask(head, choose(MASK, look.accent)))
    return sheets


def _shell(head: Head, row: np.ndarray, turn: np.ndarray, thickness: np.ndarray | float) -> np.ndarray:
    """The head's base, grown outwards by `thickness` (rows, columns)."""
    return _grown(head.base(row, turn), thickness)


def _grown(points: np.ndarray, thickness: np.ndarray | float) -> np.ndarray:
    """Points (..., 3), moved outwards."""
    out = points - CENTRE
    return points + np.asarray(thickness)[..., None] * out / np.linalg.norm(out, axis=-1, keepdims=True)


def _enlarge(values: np.ndarray) -> np.ndarray:
    return cv2.resize(values.astype(np.float32), PAINT[::-1], interpolation=cv2.INTER_LINEAR)


def _hair(head: Head, parameters: FaceParameters, tint, rng) -> Sheet:
    """Hair on the skull, with its hairline, and a fringe perhaps."""
    look, person = parameters.look, parameters.person
    row, turn = grid(ROWS, COLUMNS, SHELL, np.pi)
    y = head.height(row)
    degrees = np.abs(np.degrees(turn))
    line = np.interp(degrees, HAIRLINE[:, 0], HAIRLINE[:, 1]) * (person.crown / -1.62)
    front = np.exp(-((degrees / 42) ** 4))
    if look.fringe:
        part = np.radians(60 * (look.hair_length - 0.5))
        line = line + front * (0.36 + 0.4 * look.intensity - 0.25 * np.abs(turn - part))
    elif not look.woman:
        line = line - front * 0.32 * max(0, person.age - 0.3) * (1 - 0.6 * np.cos(3 * turn))
    if look.long_hair or (look.woman and not look.hair_length < 0.2):
        line = np.maximum(line, np.interp(degrees, [74, 90], [-0.4, 1.0]))
    ragged = piece(streaks(2.0, 16.0), rng, *PAINT)
    inward = _enlarge(line - y) + (0.05 if look.fringe else 0.022) * ragged
    alpha = np.clip(inward / 0.05 + 0.5, 0, 1)
    depth = np.clip((line - y) / 0.3, 0, 1)
    volume = (0.07 + 0.16 * look.hair_length + (0.12 if look.curly else 0)) * depth**0.6
    lumps = cv2.resize(piece(clouds(6.0 if look.curly else 14.0), rng, ROWS * 2, COLUMNS * 2), (COLUMNS, ROWS))
    volume = volume * (1 + (0.35 if look.curly else 0.12) * lumps) + 0.05
    if look.cap:
        volume = np.minimum(volume, 0.7 * CAP)
    return painted(_shell(head, row, turn, volume), _strands(look, tint, rng), gloss=0.08, alpha=alpha, both_sides=True)


def _strands(look, tint, rng, shape: tuple[int, int] = PAINT) -> np.ndarray:
    """The paint of hair."""
    noise = piece(clouds(2.0), rng, *shape) if look.curly else piece(streaks(1.2, 30.0), rng, *shape)
    tone = 1 + 0.24 * noise + 0.1 * piece(clouds(10.0), rng, *shape)
    return tint.hair * np.maximum(tone, 0.25)[..., None]


def _hanging(head: Head, parameters: FaceParameters, tint, rng) -> Sheet:
    """Long hair that falls around neck and shoulders."""
    look = parameters.look
    turn, t = np.meshgrid(np.linspace(np.radians(74), np.radians(286), 90), np.linspace(0, 1, 40))
    end = 0.9 + 1.9 * look.hair_length
    y = -0.3 + (end + 0.3) * t
    width = head.person.width * (1.1 + 0.12 * np.sin(np.pi * np.clip(t, 0, 0.7)) + (0.1 if look.curly else 0))
    wave = 0.05 * np.sin(9 * t + 3 * turn) * (1.5 if look.curly else 0.6)
    x = (width + wave) * np.sin(turn)
    z = -0.35 + np.where(np.cos(turn) < 0, 1.15, 0.7) * np.cos(turn) * (1 - 0.15 * t) + 0.05 * t
    ragged = piece(streaks(2.0, 12.0), rng, 300, 400)
    alpha = np.clip((0.97 + 0.05 * ragged - np.linspace(0, 1, 300)[:, None]) / 0.03, 0, 1).astype(np.float32)
    return painted(
        np.stack([x, y, z], -1), _strands(look, tint, rng, (300, 400)), gloss=0.08, alpha=alpha, both_sides=True
    )


def _cap(head: Head, colour: np.ndarray) -> list[Sheet]:
    """A cap with its peak."""
    row, turn = grid(40, 96, SHELL, np.pi)
    y = head.height(row)
    edge = -0.62 + 0.22 * (1 - np.cos(turn)) / 2
    alpha = np.clip(_enlarge(edge - y) / 0.03 + 0.5, 0, 1)
    crown = painted(_shell(head, row, turn, CAP), colour, alpha=alpha)
    angle, reach = np.meshgrid(np.radians(np.linspace(-62, 62, 33)), np.linspace(0, 1, 16))
    start = _shell(head, head.get_row(-0.62 + 0.11 * (1 - np.cos(angle))), angle, 0.2)
    ahead = np.array([0.0, 0.2, 0.78]) * np.cos(angle)[..., None] ** 0.8
    peak = painted(start + reach[..., None] * ahead, 0.8 * colour, both_sides=True)
    return [crown, peak]


def _band(head: Head, colour: np.ndarray) -> Sheet:
    """A headband over hair and forehead."""
    row, turn = grid(48, 96, SHELL, np.pi)
    y = head.height(row)
    middle = -0.82 + 0.25 * (1 - np.cos(turn)) / 2
    alpha = np.clip((0.14 - np.abs(_enlarge(y - middle))) / 0.03 + 0.5, 0, 1)
    return painted(_shell(head, row, turn, 0.1), colour, alpha=alpha)


def _scarf(head: Head, colour: np.ndarray, rng) -> Sheet:
    """A scarf around the face: over the hair, past the cheeks, down to the shoulders."""
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
    tone = 1 + 0.1 * piece(clouds(8.0), rng, *shape) + 0.05 * piece(clouds(1.0), rng, *shape)
    return painted(points, colour * tone[..., None], alpha=alpha, both_sides=True)


def _mask(head: Head, colour: np.ndarray) -> Sheet:
    """A mask over nose, mouth and chin."""
    row, turn = grid(90, 101, (-0.2, np.pi / 2), TURN)
    base = head.base(row, turn)
    relief = cv2.dilate(head.skin(row, turn)[..., 2] - base[..., 2], np.ones((9, 9)))
    base[..., 2] += cv2.GaussianBlur(relief, (0, 0), 3)  # cloth lies on what stands out
    points = _grown(base, 0.04)
    shape = (270, 300)
    x, y = (cv2.resize(points[..., k].astype(np.float32), shape[::-1]) for k in (0, 1))
    degrees = np.abs(np.degrees(np.linspace(-TURN, TURN, shape[1], dtype=np.float32)))
    top = 0.2 + 0.28 * np.abs(x) ** 1.4
    cover = np.minimum((y - top) / 0.03, (66 - degrees) / 2.5)
    strap = np.maximum((0.018 - np.abs(y - 0.42 + 0.1 * (degrees - 66) / 40)) / 0.01, (0.018 - np.abs(y - 0.95)) / 0.01)
    alpha = np.clip(np.maximum(cover, np.where(degrees > 60, strap, -1)) + 0.5, 0, 1).astype(np.float32)
    pleats = 1 - 0.12 * (np.abs((y - top) % 0.22 - 0.11) < 0.012)
    return painted(points, colour * pleats[..., None], alpha=alpha)
