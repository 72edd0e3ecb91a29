"""The texture of a face: skin, eyes, brows, nostrils, lips, teeth, beard and make-up."""

import numpy as np

from synthetic_faces.canvas import Canvas
from synthetic_faces.colours import LIPSTICK, MOUTH, SCLERA, SHADOWS, TEETH, TONGUE, choose, get_colours
from synthetic_faces.head import BROW_EDGE, INNER_CORNER, Head
from synthetic_faces.parameters import FaceParameters
from synthetic_faces.textures import clouds, random_crop, streaks

GLOSS = 0.13  # of skin: fraction of light that is reflected as a highlight


def paint_face(head: Head, parameters: FaceParameters, rng: np.random.Generator, height: int, width: int) -> Canvas:
    """Paint a face on a new canvas of height x width pixels."""
    appearance, person, tint = parameters.appearance, parameters.person, get_colours(parameters)
    canvas = Canvas(head, height, width, tint.skin, GLOSS)
    _complexion(canvas, head, appearance, person, tint, rng)
    if appearance.beard or appearance.stubble or appearance.moustache:
        _beard(canvas, head, appearance, tint, rng)
    _nose(canvas, head, tint)
    _mouth(canvas, head, appearance, person, tint, rng)
    for side in (-1, 1):
        _eye(canvas, head, side, appearance, person, tint, rng)
        _brow(canvas, head, side, appearance, tint, rng)
    np.clip(canvas.pixels, 0.01, 1, out=canvas.pixels)
    return canvas


def _complexion(canvas: Canvas, head: Head, appearance, person, tint, rng) -> None:
    """Paint blotches, redness, pores, freckles and wrinkles."""
    h, w, skin = canvas.height, canvas.width, tint.skin
    red = skin * np.array([1.02, 0.8, 0.78])
    for side in (-1, 1):
        canvas.spot((side * 0.55, 0.42), (0.26, 0.22), red, 0.35 + 0.3 * appearance.blush, 0.12)
        canvas.spot((side * person.eye_x, 0.02), (0.24, 0.15), skin * [0.86, 0.8, 0.82], 0.35 + 0.25 * person.age, 0.07)
        if appearance.blush:
            canvas.spot((side * 0.64, 0.38), (0.2, 0.12), (0.84, 0.36, 0.38), 0.28, 0.1)
    canvas.spot((head.nose_middle(person.nose_tip), person.nose_tip), (0.14, 0.14), red, 0.45, 0.08)
    canvas.spot((0, head.chin - 0.18), (0.22, 0.14), red, 0.25, 0.1)
    blotch = 0.022 * random_crop(clouds(6.0), rng, h, w) + (0.012 + 0.012 * person.age) * random_crop(
        clouds(1.0), rng, h, w
    )
    canvas.pixels *= 1 + blotch[..., None] * np.array([0.7, 1.0, 1.05, 0.0], np.float32)
    if appearance.freckles:
        dots = rng.normal([0, 0.3], [0.42, 0.2], (110, 2))
        dots = dots[np.abs(dots[:, 0]) < 0.8]
        for size in (0.014, 0.022, 0.03):
            some = dots[rng.random(len(dots)) < 0.4]
            canvas.strokes([np.stack([dot, dot + 0.001]) for dot in some], skin * [0.72, 0.6, 0.52], size, 0.6, 0.006)
    for _ in range(rng.integers(0, 3)):
        mole = rng.normal([0, 0.7], [0.5, 0.4])
        canvas.spot(mole, np.full(2, rng.uniform(0.01, 0.02)), skin * 0.4, 0.7, 0.006)
    _wrinkles(canvas, head, person, skin)


def _wrinkles(canvas: Canvas, head: Head, person, skin) -> None:
    """Paint lines of the forehead, beside the eyes, and from the nose past the mouth."""
    dark = skin * [0.6, 0.5, 0.46]
    lift = max(head.left.raise_brow, head.right.raise_brow, 0)
    depth = min(1.0, max(0.0, person.age - 0.25) + 0.35 * lift)
    t = np.linspace(-1, 1, 15)
    for k in range(3):
        if depth > 0.15:
            y = person.brow_y - 0.34 - 0.13 * k - 0.05 * lift + 0.03 * np.cos(2.4 * t + k)
            canvas.strokes([np.stack([0.42 * t, y], axis=-1)], dark, 0.016, 0.45 * depth, 0.012)
    smile = head.smile
    for side in (-1, 1):
        top, end = head.nose_base - 0.1, head.mouth_y + 0.06
        s = np.linspace(0, 1, 9)
        x = person.nose_wings + 0.045 + (head.mouth_half * (1.08 + 0.2 * smile) - person.nose_wings) * s**0.8
        fold = np.stack([side * x, top + (end - top) * s], axis=-1)
        canvas.strokes([fold], dark, 0.02, min(1.0, 0.12 + 0.35 * smile + 0.35 * person.age), 0.018)
        if person.age > 0.35 or smile > 0.6:
            foot = [[0.7, 0.0], [0.84, -0.06]], [[0.7, 0.04], [0.86, 0.05]], [[0.69, 0.08], [0.82, 0.15]]
            lines = [np.array(line) * [side, 1] for line in foot]
            canvas.strokes(lines, dark, 0.012, 0.3 * max(person.age, smile * 0.7), 0.01)
        bag = np.linspace(-0.7, 0.9, 9)
        under = np.stack([head.eye_x(side, bag), 0.13 - 0.05 * bag**2], axis=-1)
        canvas.strokes([under], dark, 0.014, 0.12 + 0.4 * max(0, person.age - 0.3), 0.014)


def _beard(canvas: Canvas, head: Head, appearance, tint, rng) -> None:
    """Paint a full beard, stubble or a moustache: skin darkened by hairs."""
    upper = head.lips(np.linspace(-1, 1, 15))["upper outer"]
    top = np.stack([head.lip_x(np.linspace(-1, 1, 15)), upper], axis=-1)
    moustache = np.concatenate([top * [1.12, 1], [[0.3, head.nose_base + 0.04], [-0.3, head.nose_base + 0.04]]])
    full = np.array([
        [-0.99, 0.35], [-0.86, 0.62], [-0.6, 0.86], [-0.42, head.nose_base + 0.08], [0, head.nose_base + 0.03],
        [0.42, head.nose_base + 0.08], [0.6, 0.86], [0.86, 0.62], [0.99, 0.35],
        [1.05, 0.8], [1.0, head.chin], [0, head.chin + 0.3], [-1.0, head.chin], [-1.05, 0.8],
    ])  # fmt: skip
    areas = [moustache] if appearance.moustache else [full, moustache]
    grain = random_crop(streaks(0.7, 5.0), rng, canvas.height, canvas.width, 1.0)
    patchy = random_crop(clouds(4.0), rng, canvas.height, canvas.width)
    before = canvas.pixels[..., :3].copy()
    opacity = 0.32 if appearance.stubble else 0.9
    for area in areas:
        canvas.fill(area, tint.hair * 0.9, opacity, 0.05)
    density = np.abs(canvas.pixels[..., 0] - before[..., 0]) / max(1e-3, abs(tint.skin[0] - 0.9 * tint.hair[0]))
    hairs = np.clip(density * (1 + 0.22 * grain + 0.12 * patchy), 0, 1)
    canvas.pixels[..., :3] = before
    canvas.shade(hairs, (*tint.hair * 0.9, 0.05))
    if appearance.beard:
        canvas.pixels[..., :3] *= (1 + 0.22 * density * grain)[..., None]


def _nose(canvas: Canvas, head: Head, tint) -> None:
    """Paint nostrils, the creases of the wings and the line under the nose."""
    p, skin = head.person, tint.skin
    middle = head.nose_middle(head.nose_base)
    for side in (-1, 1):
        wing = side * p.nose_wings
        canvas.spot((middle + 0.5 * wing, head.nose_base - 0.035), (0.34 * p.nose_wings, 0.036), skin * 0.2, 0.9, 0.014)
        t = np.linspace(0, 1, 9)
        x = middle + wing * (1.02 + 0.1 * np.sin(np.pi * t) - 0.2 * t**3)
        crease = np.stack([x, head.nose_base - 0.06 - 0.2 * t], axis=-1)
        canvas.strokes([crease], skin * [0.55, 0.42, 0.4], 0.022, 0.5, 0.014)
    bottom = head.nose_bottom(np.linspace(0.04, 0.96, 17)) + [0, 0.004]
    canvas.strokes([bottom], skin * [0.5, 0.38, 0.36], 0.024, 0.5, 0.016)


def _mouth(canvas: Canvas, head: Head, appearance, person, tint, rng) -> None:
    """Paint lips, and teeth and tongue in an open mouth."""
    q = np.linspace(-1, 1, 41)
    x, edge = head.lip_x(q), head.lips(q)
    lips = _ring(x, edge["upper outer"], edge["lower outer"])
    natural = tint.skin * [0.86, 0.62, 0.62] + np.array([0.08, 0.0, 0.01])
    colour = choose(LIPSTICK, appearance.accent) if appearance.lipstick else natural
    canvas.fill(lips, (*colour, 0.22), 0.92 if appearance.lipstick else 0.72, 0.008 if appearance.lipstick else 0.014)
    canvas.fill(_ring(x, edge["upper outer"], edge["upper inner"]), colour * 0.78, 0.5, 0.012)
    lower = 0.55 * edge["lower outer"] + 0.45 * edge["lower inner"]
    shine = np.clip(colour * 1.25 + 0.06, 0, 1)
    canvas.fill(_ring(x[12:29], lower[12:29] - 0.018, lower[12:29] + 0.02), shine, 0.4, 0.016, within=lips)
    inner = np.abs(q) <= INNER_CORNER
    xi, top, bottom = x[inner], edge["upper inner"][inner], edge["lower inner"][inner]
    if head.gap > 0.015:
        hole = _ring(xi, top, bottom)
        canvas.fill(hole, (*MOUTH, 0.03))
        if head.gap > 0.12:
            low = 0.35 * top + 0.65 * bottom
            canvas.fill(_ring(xi[6:-6], low[6:-6], bottom[6:-6] + 0.01), TONGUE * 0.75, 0.8, 0.02, within=hole)
        length = 0.13 * np.sqrt(np.clip(1 - (q[inner] / 0.8) ** 2, 0, 1))
        show = min(1.0, 0.35 + 0.8 * head.smile)
        teeth = _ring(xi, top, top + show * length)
        canvas.fill(teeth, TEETH * (0.9 - 0.12 * person.age), 1.0, 0.004, within=hole)
        gaps = [
            np.array([[v, head.mouth_y - 0.2], [v, head.mouth_y + 0.12]])
            for v in 0.085 * np.arange(-4, 5) + person.mouth_bend
        ]
        canvas.strokes(gaps, TEETH * 0.62, 0.008, 0.5, 0.004, within=_cut(teeth, hole))
        if head.gap > 0.18 and appearance.accent > 0.5:
            canvas.fill(_ring(xi, bottom - 0.06 * (1 - (q[inner]) ** 2), bottom), TEETH * 0.7, 0.9, 0.006, within=hole)
        canvas.strokes([np.stack([xi, top], -1)], MOUTH, 0.02, 0.6, 0.014)
    else:
        canvas.strokes(
            [np.stack([x, (edge["upper inner"] + edge["lower inner"]) / 2], -1)], colour * 0.3, 0.02, 0.85, 0.007
        )
    corners = [np.array([[x[k], edge["upper inner"][k]]]) + [[-0.012, -0.006], [0.012, 0.006]] for k in (0, -1)]
    canvas.strokes(corners, tint.skin * 0.35, 0.026, 0.6, 0.012)
    canvas.strokes(
        [np.stack([x[10:-10], edge["lower outer"][10:-10] + 0.02], -1)], tint.skin * [0.7, 0.6, 0.58], 0.03, 0.4, 0.02
    )


def _eye(canvas: Canvas, head: Head, side: int, appearance, person, tint, rng) -> None:
    """Paint white, iris, lids, lashes and make-up of one eye."""
    q = np.linspace(-1, 1, 33)
    x = head.eye_x(side, q)
    upper, lower = head.lids(side, x)
    hole = _ring(x, upper, lower)
    skin, half = tint.skin, head.half(side)
    open_by = float((lower - upper).max())
    fold = upper - person.lid_crease * (1 - 0.3 * q**2) * (1 - 0.5 * half.blink) - 0.012
    if appearance.eye_make_up:
        canvas.fill(
            _ring(x, fold - 0.05, upper), choose(SHADOWS, appearance.accent), 0.5 + 0.3 * appearance.intensity, 0.025
        )
    canvas.fill(_ring(x, fold, upper), skin * [0.9, 0.84, 0.83], 0.5, 0.012)
    canvas.strokes([np.stack([x[2:-1], fold[2:-1]], -1)], skin * [0.48, 0.36, 0.33], 0.016, 0.75, 0.009)
    if open_by > 0.012:
        canvas.fill(hole, (*SCLERA * (1 - 0.06 * tint.darkness), 0.02))
        canvas.spot((head.eye_x(side, -1.0), lower[0]), (0.05, 0.04), (0.8, 0.5, 0.48), 0.7, 0.014, within=hole)
        centre = head.iris(side)
        for radius, colour, opacity in (
            (1.0, tint.iris * 0.45, 1.0),
            (0.9, tint.iris, 1.0),
            (0.65, tint.iris * 1.25, 0.35),
        ):
            canvas.spot(centre, np.full(2, radius * person.iris), np.clip(colour, 0, 1), opacity, 0.005, within=hole)
        canvas.spot(centre, np.full(2, 0.4 * person.iris), (0.02, 0.02, 0.02), 1.0, 0.004, within=hole)
        canvas.fill(_ring(x, upper - 0.03, upper + 0.15 * open_by), skin * 0.35, 0.4, 0.016, within=hole)
        glint = centre + 0.4 * person.iris * np.array([np.sign(appearance.light_x or 1), -0.9])
        canvas.spot(glint, np.full(2, 0.013), (1, 1, 1), 0.9, 0.003, within=hole)
        canvas.strokes([np.stack([x[3:-1], lower[3:-1]], -1)], skin * [1.0, 0.8, 0.78], 0.014, 0.7, 0.004)
    heavy = appearance.eye_make_up or appearance.woman
    canvas.strokes(
        [np.stack([x, upper], -1)], tint.hair * 0.3 + 0.02, 0.03 if heavy else 0.02, 0.95 if heavy else 0.75, 0.004
    )
    canvas.strokes([np.stack([x, lower + 0.006], -1)], skin * [0.5, 0.38, 0.36], 0.014, 0.6, 0.006)
    t = np.linspace(-0.85, 1, 26 if heavy else 16)
    roots = np.stack([head.eye_x(side, t), np.interp(t, q, upper)], axis=-1)
    down = 1 if half.blink > 0.85 else -1
    lean = np.stack([side * (0.25 + 0.6 * t), np.full(len(t), 0.7 * down)], axis=-1)
    lean *= (0.06 if heavy else 0.04) * (0.55 + 0.45 * t)[:, None]
    canvas.strokes(list(np.stack([roots, roots + lean], axis=1)), (0.04, 0.03, 0.03), 0.007, 0.75)


def _brow(canvas: Canvas, head: Head, side: int, appearance, tint, rng) -> None:
    """Paint a brow: a soft area, and hairs that lean outwards."""
    t = np.linspace(0, 1, 17)
    outline = np.concatenate([head.brow(side, t, -BROW_EDGE), head.brow(side, t[::-1], BROW_EDGE)])
    colour = 0.75 * tint.hair + 0.1 * tint.skin
    faint = 0.55 if tint.hair.mean() > 0.5 else 1.0
    canvas.fill(outline, colour, 0.62 * faint, 0.014)
    at = rng.uniform(0, 1, 70)
    across = rng.uniform(-0.9, 0.9, 70)
    roots = head.brow(side, at, across)
    lean = np.stack([side * (0.03 + 0.05 * at), -0.045 * (1 - at) + 0.02 * np.sign(across) * at], axis=-1)
    canvas.strokes(list(np.stack([roots, roots + lean], axis=1)), colour * 0.75, 0.008, 0.85 * faint)


def _ring(x: np.ndarray, upper: np.ndarray, lower: np.ndarray) -> np.ndarray:
    """Return the outline (2n, 2) between two curves over x."""
    return np.concatenate([np.stack([x, upper], -1), np.stack([x[::-1], lower[::-1]], -1)])


def _cut(teeth: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """Return the outline of teeth, cut off at the lower end of the mouth."""
    low = hole[:, 1].max()
    return np.minimum(teeth, [np.inf, low])
