"""What makes one face differ from another, drawn from a seed: person, expression, pose and looks.

Lengths are in units of half a face's width (about 70 mm). A head's own coordinates are x to the image's right, y down
and z towards the viewer, the origin between the eyes. The ranges were set by hand, beside the mean and the spread of
300W's training shapes; no face model was used.
"""

from dataclasses import dataclass, replace
from types import SimpleNamespace

import numpy as np

# Proportions of a person (low, high); age, weight and sex change some of them a little further.
IDENTITY = {
    "width": (0.96, 1.14),  # half the face, at the cheekbones
    "chin": (1.32, 1.84),  # height of the chin
    "crown": (-1.75, -1.5),
    "jaw": (2.0, 3.3),  # exponent of the outline's lower half: 2 is an ellipse, more is squarer
    "jaw_corner": (-0.03, 0.09),
    "chin_depth": (0.5, 0.68),
    "chin_boss": (0.03, 0.12),
    "flatness": (2.05, 2.55),  # exponent of a horizontal section: 2 is an ellipse, more is flatter in front
    "depth": (0.78, 0.98),  # of the face in front of its silhouette
    "brow_ridge": (0.0, 0.09),
    "forehead": (-0.04, 0.08),
    "cheek": (0.0, 0.1),
    "cheek_hollow": (-0.03, 0.09),
    "eye_x": (0.44, 0.49),
    "eye_half": (0.168, 0.207),
    "eye_upper": (0.09, 0.16),
    "eye_lower": (0.045, 0.08),
    "eye_tilt": (-0.035, 0.06),
    "eye_depth": (0.03, 0.12),
    "lid_crease": (0.02, 0.07),
    "iris": (0.078, 0.092),
    "brow_y": (-0.30, -0.15),
    "brow_arch": (0.03, 0.2),
    "brow_slope": (-0.06, 0.13),
    "brow_inner": (0.08, 0.26),
    "brow_outer": (0.76, 0.96),
    "brow_thickness": (0.028, 0.07),
    "nasion": (0.04, 0.22),  # height of the bridge between the eyes
    "nose_tip": (0.38, 0.66),
    "nose_base": (0.13, 0.21),  # below the tip
    "nose_depth": (0.24, 0.42),
    "nose_wings": (0.155, 0.29),
    "nose_bridge": (0.07, 0.12),
    "nose_hump": (-0.05, 0.06),
    "nose_bend": (-0.035, 0.035),
    "mouth_gap": (0.17, 0.38),  # nose base to the line between the lips
    "mouth_half": (0.31, 0.45),
    "upper_lip": (0.055, 0.145),
    "lower_lip": (0.08, 0.175),
    "cupid": (0.1, 0.35),
    "muzzle": (0.0, 0.1),
    "mouth_bend": (-0.03, 0.03),
    "neck": (0.66, 0.86),
}  # fmt: skip
# What a face does (low, high) where an expression is strong; 0 at rest.
EXPRESSION = {
    "smile": (-0.6, 1.0),
    "open": (0.0, 1.0),
    "pucker": (0.0, 0.8),
    "blink": (0.0, 1.0),  # 1: closed
    "squint": (0.0, 1.0),
    "raise_brow": (-0.6, 1.0),
    "frown": (-0.3, 1.0),
}
AT_REST = {"smile": 0.3, "open": 0.0, "pucker": 0.0, "blink": 0.06, "squint": 0.05, "raise_brow": 0.0, "frown": 0.0}
CHANCES_OF_EXPRESSION = {
    "smile": 0.65,
    "open": 0.42,
    "pucker": 0.1,
    "blink": 0.2,
    "squint": 0.3,
    "raise_brow": 0.4,
    "frown": 0.25,
}
ONE_SIDED = ("smile", "blink", "squint", "raise_brow", "frown")  # the halves of a face may differ in these
ASYMMETRY = 0.12
WINK = 0.02  # chance
# The head in the picture. Angles in degrees: standard deviation and limit. The rest (low, high).
ANGLES = {"yaw": (17.0, 60.0), "pitch": (10.0, 30.0), "roll": (10.0, 30.0)}
ANY_POSE = 0.08  # share of faces whose angles are drawn evenly between the limits
POSE = {
    "distance": (6.0, 18.0),  # of the camera, in head units
    "scale": (0.195, 0.25),  # of half a face's width, in sides of the picture
    "x": (0.45, 0.55),
    "y": (0.40, 0.47),
    "gaze_x": (-0.08, 0.08),
    "gaze_y": (-0.03, 0.035),
    "body_yaw": (-25.0, 25.0),
}
# What there is to see, and how often.
CHANCES = {
    "bald": 0.06,
    "long_hair": 0.42,
    "fringe": 0.2,
    "curly": 0.25,
    "beard": 0.16,
    "stubble": 0.16,
    "moustache": 0.07,
    "lipstick": 0.2,
    "eye_make_up": 0.2,
    "blush": 0.14,
    "freckles": 0.12,
    "glasses": 0.2,
    "dark_glasses": 0.22,  # of the glasses
    "cap": 0.08,
    "headband": 0.04,
    "scarf": 0.05,
    "mask": 0.03,
    "cover": 0.13,  # a hand or a thing before the face
    "hard_light": 0.35,
    "back_light": 0.06,
    "coloured_light": 0.1,
    "dark": 0.07,
    "blur": 0.22,
    "motion": 0.06,
    "noise": 0.4,
    "grey": 0.06,
}
KINDS = {"cover_kind": 3, "background_kind": 4, "glasses_kind": 3}


@dataclass(frozen=True)
class FaceParameters:
    """All that one picture follows from.

    person: the ranges of IDENTITY. left, right: the expression of the image's left and right half of the face.
    pose: ANGLES and POSE. look: CHANCES as booleans, and numbers from 0 to 1 that colours and forms are chosen by.
    texture_seed: of skin, hair, background and noise. mirrored: the picture is that of `mirror()`, reversed.
    """

    person: SimpleNamespace
    left: SimpleNamespace
    right: SimpleNamespace
    pose: SimpleNamespace
    look: SimpleNamespace
    texture_seed: int
    mirrored: bool = False

    def mirror(self) -> "FaceParameters":
        """The parameters of the mirror image."""
        person = _copy(self.person)
        person.nose_bend, person.mouth_bend = -person.nose_bend, -person.mouth_bend
        pose = _copy(self.pose)
        for name in ("yaw", "roll", "gaze_x", "body_yaw"):
            setattr(pose, name, -getattr(pose, name))
        pose.x = 1 - pose.x
        look = _copy(self.look)
        look.light_x = -look.light_x
        return replace(
            self, person=person, left=self.right, right=self.left, pose=pose, look=look, mirrored=not self.mirrored
        )


def draw_parameters(seed: int) -> FaceParameters:
    """The face of a seed.

    Raises:
        ValueError: a seed below 0.
    """
    if seed < 0:
        raise ValueError(f"seeds are whole numbers from 0. Received seed={seed!r}")
    rng = np.random.default_rng(seed)
    person = SimpleNamespace(**{name: _bell(rng, *limits) for name, limits in IDENTITY.items()})
    person.age = rng.uniform() ** 1.5  # from young to old
    person.weight = rng.normal() * 0.5
    person.width *= 1 + 0.03 * person.weight
    left, right = _draw_expression(rng)
    look = SimpleNamespace(**{name: bool(rng.random() < chance) for name, chance in CHANCES.items()})
    look.woman = bool(rng.random() < 0.5)
    for name in ("skin", "undertone", "hair", "iris", "cloth", "accent", "beard_length", "hair_length", "intensity"):
        setattr(look, name, rng.random())
    for name, kinds in KINDS.items():
        setattr(look, name, int(rng.integers(kinds)))
    look.light_x, look.light_y, look.light_z = rng.uniform(-1, 1), rng.uniform(-0.9, 0.25), rng.uniform(0.25, 1)
    _agree(look, person)
    return FaceParameters(person, left, right, _draw_pose(rng), look, int(rng.integers(2**31)))


def _draw_expression(rng: np.random.Generator) -> tuple[SimpleNamespace, SimpleNamespace]:
    """Expressions of the two halves of a face."""
    both = dict(AT_REST)
    for name, limits in EXPRESSION.items():
        if rng.random() < CHANCES_OF_EXPRESSION[name]:
            both[name] = rng.uniform(*limits) * (rng.uniform(0.3, 1) if name == "open" else 1)
    if both["blink"] > AT_REST["blink"] and rng.random() < 0.4:
        both["blink"] = 1.0
    if both["pucker"]:
        both["smile"] *= 0.3
    halves = []
    for _ in range(2):
        half = SimpleNamespace(**both)
        for name in ONE_SIDED:
            low, high = EXPRESSION[name]
            setattr(half, name, float(np.clip(both[name] + ASYMMETRY * rng.normal() * (high - low) / 2, low, high)))
        halves.append(half)
    for half in halves:
        half.blink = 1.0 if both["blink"] == 1 or rng.random() < WINK else half.blink
    return halves[0], halves[1]


def _draw_pose(rng: np.random.Generator) -> SimpleNamespace:
    """How a head stands in the picture: photographs hold many faces that look nearly into the camera."""
    pose = SimpleNamespace(**{name: rng.uniform(*limits) for name, limits in POSE.items()})
    evenly = rng.random() < ANY_POSE
    for name, (deviation, limit) in ANGLES.items():
        angle = rng.normal() * deviation
        setattr(pose, name, rng.uniform(-limit, limit) if evenly or abs(angle) > limit else angle)
    return pose


def _agree(look: SimpleNamespace, person: SimpleNamespace) -> None:
    """Takes away what does not go together on one face."""
    if look.woman:
        look.beard = look.stubble = look.moustache = look.bald = False
        person.brow_thickness *= 0.85
        person.jaw -= 0.15
    else:
        look.lipstick = look.eye_make_up = look.blush = False
        look.long_hair &= look.hair_length > 0.6
        person.brow_ridge += 0.02
    if look.beard:
        look.stubble = look.moustache = False
    look.cap &= not look.scarf
    look.headband &= not (look.scarf or look.cap)
    if look.cap or look.scarf or look.bald:
        look.fringe = False
    look.mask &= not look.cover


def _bell(rng: np.random.Generator, low: float, high: float) -> float:
    """A number between two limits, more often near the middle."""
    return low + (high - low) * (rng.random() + rng.random() + rng.random()) / 3


def _copy(values: SimpleNamespace) -> SimpleNamespace:
    return SimpleNamespace(**vars(values))
