"""Where the parts of a head lie: a parametric face of 68 landmarks with depth, and its projection into the picture.

A head's own coordinates are x to the image's right, y down and z towards the viewer. The origin lies between the eyes
and the unit is about half the width of a face. No data set was used: proportions are drawn from the ranges below.
"""

from types import SimpleNamespace

import numpy as np

from config import LAYOUT_68

PIVOT = np.array([0.0, 0.5, -0.5])  # the point that a head turns about, in the neck
FRONT_VIEW = 0.35  # share of faces that hardly turn; photographs hold many of those

# Proportions of a person (low, high), drawn uniformly. Lengths in units of the head.
IDENTITY = {
    "jaw_width": (0.9, 1.06),
    "jaw_roundness": (0.68, 0.98),  # exponent of a superellipse: 1 an ellipse, less is squarer
    "chin": (1.42, 1.72),
    "skull": (1.0, 1.25),
    "eye_x": (0.42, 0.5),
    "eye_width": (0.16, 0.21),
    "eye_height": (0.07, 0.11),
    "eye_slant": (-0.02, 0.05),
    "iris": (0.085, 0.1),
    "brow_y": (-0.34, -0.24),
    "brow_arch": (0.01, 0.1),
    "brow_inner": (0.14, 0.24),
    "brow_outer": (0.7, 0.8),
    "brow_thickness": (0.03, 0.065),
    "nose_tip": (0.44, 0.6),
    "nose_depth": (0.3, 0.5),
    "nose_width": (0.17, 0.27),
    "mouth_gap": (0.3, 0.42),  # nose base to the line between the lips
    "mouth_width": (0.3, 0.42),
    "upper_lip": (0.06, 0.12),
    "lower_lip": (0.08, 0.15),
}
# What a face does (low, high). Both halves of a face are drawn apart, but nearly alike.
EXPRESSION = {
    "smile": (-0.5, 1.0),
    "mouth_open": (-0.35, 0.4),  # below 0: closed
    "lids": (0.15, 1.25),  # share of eye_height; above 1: as wide as it goes
    "brow_raise": (-0.06, 0.1),
    "brow_frown": (-0.06, 0.06),
}
ASYMMETRY = 0.12  # share of an expression's range by which the halves may differ
# How the head stands in the picture (low, high); angles in degrees, places and sizes in sides of the picture.
POSE = {
    "yaw": (-35.0, 35.0),
    "pitch": (-18.0, 18.0),
    "roll": (-30.0, 30.0),
    "scale": (0.18, 0.25),
    "x": (0.44, 0.56),
    "y": (0.46, 0.58),
    "gaze_x": (-0.06, 0.06),
    "gaze_y": (-0.02, 0.02),
}


def draw_uniform(rng: np.random.Generator, ranges: dict[str, tuple[float, float]]) -> SimpleNamespace:
    """One number from every (low, high) range, as attributes."""
    return SimpleNamespace(**{name: rng.uniform(*limits) for name, limits in ranges.items()})


def draw_expressions(rng: np.random.Generator) -> tuple[SimpleNamespace, SimpleNamespace]:
    """Expressions of the image-left and image-right half of one face."""
    both = draw_uniform(rng, EXPRESSION)
    halves = []
    for _ in range(2):
        spread = {name: ASYMMETRY * (high - low) for name, (low, high) in EXPRESSION.items()}
        halves.append(SimpleNamespace(**{n: v + rng.uniform(-0.5, 0.5) * spread[n] for n, v in vars(both).items()}))
        halves[-1].lids = min(halves[-1].lids, 1.0)
        halves[-1].mouth_open = max(both.mouth_open, 0.0)  # one jaw, so both halves open alike
    return halves[0], halves[1]


def draw_pose(rng: np.random.Generator) -> SimpleNamespace:
    """How a head stands in the picture; some heads look almost straight into the camera."""
    pose = draw_uniform(rng, POSE)
    if rng.random() < FRONT_VIEW:
        pose.yaw, pose.pitch, pose.roll = pose.yaw * 0.2, pose.pitch * 0.3, pose.roll * 0.3
    return pose


def landmarks_3d(person: SimpleNamespace, left: SimpleNamespace, right: SimpleNamespace) -> np.ndarray:
    """The 68 landmarks (68, 3) of a person, with one expression for each half of the face."""
    a, b = _symmetric(person, left), _symmetric(person, right)
    share = (1 + np.tanh(2 * (a + b)[:, :1])) / 2  # 0 on the image's left, 1 on its right, one half on the midline
    return (1 - share) * a + share * b  # (68, 3)


def _symmetric(p: SimpleNamespace, e: SimpleNamespace) -> np.ndarray:
    """A symmetric face (68, 3): the image-left half is written down, the other half is its mirror image."""
    points = np.full((LAYOUT_68.points, 3), np.nan)
    angle = np.linspace(np.pi / 2, 0, 9)  # from the ear to the chin
    across, down = np.sin(angle) ** p.jaw_roundness, np.cos(angle) ** p.jaw_roundness
    chin = p.chin + 0.5 * e.mouth_open
    points[0:9] = np.stack([-p.jaw_width * across, 0.06 + (chin - 0.06) * down, 0.3 * down - 0.15 * across], axis=1)

    t = np.linspace(0, 1, 5)  # from the outer to the inner end
    brow_x = -(p.brow_outer + (p.brow_inner - p.brow_outer) * t)
    brow_y = p.brow_y + 0.05 - p.brow_arch * np.sin(np.pi * t**0.8) - e.brow_raise - e.brow_frown * (t - 0.3)
    points[17:22] = np.stack([brow_x, brow_y, 0.02 + 0.36 * t], axis=1)

    t = np.linspace(0, 1, 4)
    points[27:31] = np.stack([0 * t, 0.02 + (p.nose_tip - 0.02) * t, 0.38 + p.nose_depth * t**1.3], axis=1)
    base = p.nose_tip + 0.14
    points[31:34] = [
        [-p.nose_width, base - 0.05, 0.36],
        [-p.nose_width / 2, base - 0.01, 0.46],
        [0, base + 0.02, 0.52],
    ]

    w, upper, lower = p.eye_width, p.eye_height * (1.7 * e.lids - 0.7), p.eye_height * 0.7
    corner = -0.35 * (1 - e.lids) * p.eye_height  # of a closing eye, the line between the lids sags
    points[36:40] = [
        [-p.eye_x - w, -p.eye_slant - corner, 0.1],
        [-p.eye_x - 0.36 * w, -upper - 0.3 * p.eye_slant, 0.24],
        [-p.eye_x + 0.36 * w, -upper + 0.3 * p.eye_slant, 0.28],
        [-p.eye_x + w, p.eye_slant - corner, 0.26],
    ]
    points[40:42] = [[-p.eye_x + 0.36 * w, lower, 0.28], [-p.eye_x - 0.36 * w, lower, 0.24]]

    wide = p.mouth_width * (1 + 0.25 * e.smile - 0.25 * e.mouth_open)
    thin = 1 - 0.2 * e.smile
    u, d, gap = p.upper_lip * thin, p.lower_lip * thin, 0.8 * e.mouth_open
    lips = np.array([
        [-1, 0], [-0.6, -0.75 * u], [-0.22, -u], [0, -0.85 * u],  # outer, upper: 48-51
        [0, d + gap], [-0.28, 0.95 * d + gap], [-0.65, 0.62 * d + 0.85 * gap],  # outer, lower: 57-59
        [-0.86, 0], [-0.4, -0.12 * gap], [0, -0.15 * gap],  # inner, upper: 60-62
        [0, gap], [-0.4, 0.85 * gap],  # inner, lower: 66, 67
    ])  # fmt: skip
    x = lips[:, 0]
    y = base + p.mouth_gap + lips[:, 1] - 0.12 * e.smile * (x**2 - 0.3)
    points[[48, 49, 50, 51, 57, 58, 59, 60, 61, 62, 66, 67]] = np.stack([wide * x, y, 0.48 - 0.22 * x**2], axis=1)

    mirrored = points[list(LAYOUT_68.partners)] * [-1, 1, 1]
    return np.where(np.isnan(points), mirrored, points)


def skull_3d(person: SimpleNamespace, grow: float = 0.0) -> np.ndarray:
    """The outline above the jaw (17, 3), from the image's right ear over the crown to the left one."""
    angle = np.linspace(0, np.pi, 17)
    across, up = np.cos(angle), np.sin(angle)
    width = person.jaw_width + 0.02 + grow
    return np.stack([width * np.sign(across) * abs(across) ** 0.8, 0.06 - (person.skull + grow) * up**0.8,
                     0 * up - 0.15], axis=1)  # fmt: skip


def project(points: np.ndarray, pose: SimpleNamespace) -> np.ndarray:
    """Heads' coordinates (n, 3) to sides of the picture (n, 2), without perspective."""
    yaw, pitch, roll = np.radians([pose.yaw, pose.pitch, pose.roll])
    turn = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
    nod = np.array([[1, 0, 0], [0, np.cos(pitch), np.sin(pitch)], [0, -np.sin(pitch), np.cos(pitch)]])
    tilt = np.array([[np.cos(roll), -np.sin(roll), 0], [np.sin(roll), np.cos(roll), 0]])
    return [pose.x, pose.y] + pose.scale * (np.asarray(points) - PIVOT) @ (tilt @ nod @ turn).T  # (n, 2)
