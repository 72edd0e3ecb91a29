"""The parameters of a face, drawn from its seed: person, expression, pose and appearance.

Lengths are in head units: half the width of a face, about 70 mm. Head coordinates are x to the image's right, y down
and depth z towards the viewer; the origin lies between the eyes. The ranges were set by hand, beside the mean and the
variation of 300W's training shapes; no face model was used.
"""

from dataclasses import dataclass, replace
from types import SimpleNamespace

import numpy as np

# Proportions of a person (low, high), head units; age, weight and sex change some of them a little further.
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
# Strength of each action of an expression (low, high).
EXPRESSION = {
    "smile": (-0.6, 1.0),
    "open": (0.0, 1.0),
    "pucker": (0.0, 0.8),
    "blink": (0.0, 1.0),  # 1: closed
    "squint": (0.0, 1.0),
    "raise_brow": (-0.6, 1.0),
    "frown": (-0.3, 1.0),
}
NEUTRAL_EXPRESSION = {
    "smile": 0.3,
    "open": 0.0,
    "pucker": 0.0,
    "blink": 0.06,
    "squint": 0.05,
    "raise_brow": 0.0,
    "frown": 0.0,
}
EXPRESSION_PROBABILITIES = {
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
WINK = 0.02  # probability
# Pose of the head. Angles in degrees: standard deviation and limit. The rest: (low, high).
ANGLES = {"yaw": (17.0, 60.0), "pitch": (10.0, 30.0), "roll": (10.0, 30.0)}
UNIFORM_POSE_FRACTION = 0.08  # of faces, whose angles are drawn uniformly between the limits
POSE = {
    "distance": (6.0, 18.0),  # of the camera, head units
    "scale": (0.195, 0.25),  # of a head unit, fraction of the image size
    "x": (0.45, 0.55),  # of the head, fraction of the image size
    "y": (0.40, 0.47),
    "gaze_x": (-0.08, 0.08),
    "gaze_y": (-0.03, 0.035),
    "body_yaw": (-25.0, 25.0),
}
# Probabilities of hair, make-up, accessories, occluders, light and the faults of the camera.
APPEARANCE_PROBABILITIES = {
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
    "occluder": 0.13,  # a hand or an object in front of the face
    "hard_light": 0.35,
    "back_light": 0.06,
    "coloured_light": 0.1,
    "dark": 0.07,
    "blur": 0.22,
    "motion": 0.06,
    "noise": 0.4,
    "grey": 0.06,
}
KINDS = {"occluder_kind": 3, "background_kind": 4, "glasses_kind": 3}


@dataclass(frozen=True)
class FaceParameters:
    """Everything that determines a rendered face.

    Attributes:
        person: values of IDENTITY, age and weight.
        left: expression of the half of the face at the image's left, values of EXPRESSION.
        right: expression of the half at the image's right.
        pose: values of ANGLES and POSE.
        appearance: APPEARANCE_PROBABILITIES as booleans, KINDS, and numbers in [0, 1] that choose colours and forms.
        texture_seed: random seed of skin, hair, background and noise.
        mirrored: the image is the mirrored image of `mirror()`; default False.
    """

    person: SimpleNamespace
    left: SimpleNamespace
    right: SimpleNamespace
    pose: SimpleNamespace
    appearance: SimpleNamespace
    texture_seed: int
    mirrored: bool = False

    def mirror(self) -> "FaceParameters":
        """Return the parameters of the mirrored image."""
        person = _copy(self.person)
        person.nose_bend, person.mouth_bend = -person.nose_bend, -person.mouth_bend
        pose = _copy(self.pose)
        for name in ("yaw", "roll", "gaze_x", "body_yaw"):
            setattr(pose, name, -getattr(pose, name))
        pose.x = 1 - pose.x
        appearance = _copy(self.appearance)
        appearance.light_x = -appearance.light_x
        return replace(
            self,
            person=person,
            left=self.right,
            right=self.left,
            pose=pose,
            appearance=appearance,
            mirrored=not self.mirrored,
        )


def draw_parameters(seed: int) -> FaceParameters:
    """Return the parameters of the face of a seed.

    Args:
        seed: 0 or more.

    Raises:
        ValueError: a seed below 0.
    """
    if seed < 0:
        raise ValueError(f"a seed is a whole number, 0 or more. Received seed={seed!r}")
    rng = np.random.default_rng(seed)
    person = SimpleNamespace(**{name: _draw_bell(rng, *limits) for name, limits in IDENTITY.items()})
    person.age = rng.uniform() ** 1.5  # from young to old
    person.weight = rng.normal() * 0.5
    person.width *= 1 + 0.03 * person.weight
    left, right = _draw_expression(rng)
    appearance = SimpleNamespace(
        **{name: bool(rng.random() < probability) for name, probability in APPEARANCE_PROBABILITIES.items()}
    )
    appearance.woman = bool(rng.random() < 0.5)
    for name in ("skin", "undertone", "hair", "iris", "cloth", "accent", "beard_length", "hair_length", "intensity"):
        setattr(appearance, name, rng.random())
    for name, kinds in KINDS.items():
        setattr(appearance, name, int(rng.integers(kinds)))
    appearance.light_x, appearance.light_y, appearance.light_z = (
        rng.uniform(-1, 1),
        rng.uniform(-0.9, 0.25),
        rng.uniform(0.25, 1),
    )
    _resolve_conflicts(appearance, person)
    return FaceParameters(person, left, right, _draw_pose(rng), appearance, int(rng.integers(2**31)))


def _draw_expression(rng: np.random.Generator) -> tuple[SimpleNamespace, SimpleNamespace]:
    """Draw the expressions of the two halves of a face."""
    both = dict(NEUTRAL_EXPRESSION)
    for name, limits in EXPRESSION.items():
        if rng.random() < EXPRESSION_PROBABILITIES[name]:
            both[name] = rng.uniform(*limits) * (rng.uniform(0.3, 1) if name == "open" else 1)
    if both["blink"] > NEUTRAL_EXPRESSION["blink"] and rng.random() < 0.4:
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
    """Draw the pose of a head; as in photographs, many faces are nearly frontal."""
    pose = SimpleNamespace(**{name: rng.uniform(*limits) for name, limits in POSE.items()})
    uniform = rng.random() < UNIFORM_POSE_FRACTION
    for name, (deviation, limit) in ANGLES.items():
        angle = rng.normal() * deviation
        setattr(pose, name, rng.uniform(-limit, limit) if uniform or abs(angle) > limit else angle)
    return pose


def _resolve_conflicts(appearance: SimpleNamespace, person: SimpleNamespace) -> None:
    """Remove properties that exclude each other on one face."""
    if appearance.woman:
        appearance.beard = appearance.stubble = appearance.moustache = appearance.bald = False
        person.brow_thickness *= 0.85
        person.jaw -= 0.15
    else:
        appearance.lipstick = appearance.eye_make_up = appearance.blush = False
        appearance.long_hair &= appearance.hair_length > 0.6
        person.brow_ridge += 0.02
    if appearance.beard:
        appearance.stubble = appearance.moustache = False
    appearance.cap &= not appearance.scarf
    appearance.headband &= not (appearance.scarf or appearance.cap)
    if appearance.cap or appearance.scarf or appearance.bald:
        appearance.fringe = False
    appearance.mask &= not appearance.occluder


def _draw_bell(rng: np.random.Generator, low: float, high: float) -> float:
    """Draw a number between two limits, more often near the middle."""
    return low + (high - low) * (rng.random() + rng.random() + rng.random()) / 3


def _copy(values: SimpleNamespace) -> SimpleNamespace:
    return SimpleNamespace(**vars(values))
