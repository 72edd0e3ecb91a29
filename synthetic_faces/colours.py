"""Screen colours of people and things."""

from types import SimpleNamespace

import numpy as np

from synthetic_faces.parameters import FaceParameters

# RGB in 255ths. Skin from the lightest to the darkest.
SKIN = np.array([
    (246, 216, 198), (236, 196, 170), (224, 178, 146), (205, 155, 120), (172, 122, 88), (134, 90, 62),
    (98, 63, 45), (66, 43, 33),
])  # fmt: skip
HAIR = np.array([
    (20, 17, 16), (34, 25, 20), (56, 38, 27), (84, 57, 37), (122, 84, 50), (164, 122, 74), (206, 172, 120),
    (120, 58, 32), (150, 146, 142), (205, 203, 200),
])  # fmt: skip
IRIS = np.array(
    [(52, 32, 20), (74, 47, 26), (98, 70, 38), (88, 98, 62), (86, 116, 136), (70, 100, 140), (110, 122, 126)]
)
LIPSTICK = np.array([(170, 30, 48), (196, 52, 80), (140, 24, 50), (206, 96, 96), (112, 28, 44), (214, 70, 60)])
SHADOWS = np.array([(70, 48, 40), (90, 60, 84), (48, 60, 92), (64, 82, 60), (120, 80, 60), (40, 36, 36)])
SCLERA = np.array((232, 226, 222)) / 255
TEETH = np.array((232, 226, 210)) / 255
MOUTH = np.array((58, 16, 18)) / 255
TONGUE = np.array((172, 84, 84)) / 255
CLOTH = np.array([
    (24, 26, 32), (60, 64, 74), (150, 152, 156), (232, 230, 226), (128, 28, 36), (34, 58, 104), (38, 84, 60),
    (196, 160, 60), (150, 90, 120), (92, 60, 42),
])  # fmt: skip
MASK = np.array([(166, 204, 222), (236, 238, 240), (30, 32, 36)])
FRAMES = np.array([(18, 18, 20), (70, 42, 26), (150, 150, 156), (30, 44, 84), (120, 30, 36), (190, 160, 90)])


def interpolate(table: np.ndarray, fraction: float) -> np.ndarray:
    """Return a colour (3,) in [0, 1] between the first row of a table (fraction 0) and the last (1)."""
    row, rest = divmod(fraction * (len(table) - 1), 1)
    row = min(int(row), len(table) - 2)
    return ((1 - rest) * table[row] + rest * table[row + 1]) / 255


def choose(table: np.ndarray, fraction: float) -> np.ndarray:
    """Return one row (3,) of a table in [0, 1], from the first (fraction 0) to the last (1)."""
    return table[min(int(fraction * len(table)), len(table) - 1)] / 255


def get_colours(parameters: FaceParameters) -> SimpleNamespace:
    """Return the colours of a person: `skin`, `hair` and `iris` (3,), and `darkness` of the skin, in [0, 1]."""
    appearance, person = parameters.appearance, parameters.person
    skin = interpolate(SKIN, appearance.skin)
    skin = skin * (1 + 0.05 * (appearance.undertone - 0.5) * np.array([1.0, -0.2, -1.0]))
    dark = appearance.skin > 0.6 or appearance.undertone > 0.7  # dark skin goes with dark hair and eyes
    hair = choose(HAIR[:3] if dark else HAIR, appearance.hair)
    if person.age > 0.75:
        hair = 0.4 * hair + 0.6 * choose(HAIR[-2:], appearance.hair)
    iris = choose(IRIS[:2] if dark else IRIS, appearance.iris)
    return SimpleNamespace(skin=skin, hair=hair, iris=iris, darkness=appearance.skin)
