"""The picture of a head, from back to front: colours, light, hair, what covers it, and the faults of a photograph.

Everything is drawn at twice the size and then shrunk, so edges are smooth and outlines run through the landmarks.
"""

from types import SimpleNamespace

import cv2
import numpy as np

from synthetic_faces import shape
from synthetic_faces.canvas import Canvas, ellipse, smooth

OVERSAMPLING = 2

# Colours, RGB. Skin, from the lightest to the darkest; a face lies anywhere between two neighbours.
SKIN = np.array([(250, 222, 205), (238, 200, 172), (222, 176, 140), (190, 138, 100), (140, 94, 66), (84, 56, 44)])
HAIR = np.array(
    [(24, 20, 18), (52, 36, 26), (92, 62, 38), (150, 108, 60), (204, 170, 112), (122, 54, 28), (150, 148, 146)]
)
IRIS = np.array([(58, 38, 24), (92, 64, 36), (84, 104, 70), (84, 118, 150), (110, 124, 128)])
LIP = np.array((186, 62, 70))
SCLERA = np.array((236, 232, 228))
TEETH = np.array((238, 234, 222))
MOUTH = np.array((62, 20, 22))
BLACK = np.zeros(3)
WHITE = np.full(3, 250)

CHANCES = {
    "bald": 0.1,
    "long": 0.4,
    "fringe": 0.45,
    "beard": 0.2,
    "glasses": 0.2,
    "dark_glasses": 0.15,  # of the glasses
    "cover": 0.2,
    "blur": 0.3,
    "noise": 0.4,
}


def render_face(seed: int, size: int = 256) -> tuple[np.ndarray, np.ndarray]:
    """Draws one face. The same seed and size give the same pixels; another size gives the same face, larger or smaller.

    Args:
        seed: which face, a whole number from 0.
        size: side of the picture in pixels, 1 at least.

    Returns:
        The image, uint8 RGB (size, size, 3), and its landmarks, float64 (68, 2) in the order of config.LAYOUT_68: x, y
        in 0-based pixels, whole numbers at the centres of pixels. Landmarks may lie under hair, glasses or a cover.
        They are exact; outlines are painted up to a third of a pixel outside them.

    Raises:
        ValueError: size below 1, or seed below 0.
    """
    if size < 1:
        raise ValueError(f"a picture has a side of one pixel at least. Received size={size!r}")
    if seed < 0:
        raise ValueError(f"seeds are whole numbers from 0. Received seed={seed!r}")
    rng = np.random.default_rng(seed)
    person, pose = shape.draw_uniform(rng, shape.IDENTITY), shape.draw_pose(rng)
    head = shape.landmarks_3d(person, *shape.draw_expressions(rng))  # (68, 3)
    face = Face(person, pose, _draw_look(rng), head, shape.project(head, pose), rng)
    canvas = Canvas(_background(rng, OVERSAMPLING * size), pose.scale)
    face.paint(canvas)
    if face.look.cover:
        _paint_cover(canvas, rng, face.landmarks)
    image = cv2.resize(canvas.pixels, (size, size), interpolation=cv2.INTER_AREA)
    return _photograph(image, rng, face.look), face.landmarks * size - 0.5


def _mix(table: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A colour between two neighbouring rows of a table, uniformly along it."""
    row, share = divmod(rng.uniform(0, len(table) - 1), 1)
    return (1 - share) * table[int(row)] + share * table[int(row) + 1]


def _draw_look(rng: np.random.Generator) -> SimpleNamespace:
    """Colours, what there is to see (CHANCES), and where light comes from (-1 the image's left, 1 its right)."""
    skin = _mix(SKIN, rng) + rng.uniform(-5, 5, 3)
    hair = HAIR[rng.integers(len(HAIR))] * rng.uniform(0.8, 1.15)
    return SimpleNamespace(
        skin=skin,
        hair=hair,
        brow=0.7 * hair + 0.15 * skin,
        iris=IRIS[rng.integers(len(IRIS))],
        lip=skin + rng.uniform(0.3, 0.8) * (LIP * skin.mean() / 190 - skin),
        cloth=rng.uniform(20, 220) + rng.normal(0, 30, 3),
        light=rng.uniform(-1, 1),
        **{name: rng.random() < chance for name, chance in CHANCES.items()},
    )


class Face:
    """One head and how to paint it.

    head: landmarks (68, 3) in the head's own coordinates; landmarks: (68, 2) in sides of the picture.
    """

    def __init__(self, person, pose, look, head: np.ndarray, landmarks: np.ndarray, rng: np.random.Generator):
        self.person, self.pose, self.look, self.rng = person, pose, look, rng
        self.head, self.landmarks = head, landmarks
        self.outline = np.vstack([smooth(landmarks[0:17]), self.at(shape.skull_3d(person))])
        self.across = landmarks[45] - landmarks[36]  # between the outer corners of the eyes
        self.up = landmarks[27] - landmarks[33]  # along the nose

    def at(self, points) -> np.ndarray:
        """Places (n, 3) of the head, in the picture (n, 2)."""
        return shape.project(np.asarray(points, float), self.pose)

    def spot(self, centre, width: float, height: float) -> np.ndarray:
        """An ellipse on the head, from its centre (3,) and its half axes in units of the head."""
        middle, side, below = self.at(np.asarray(centre) + [[0, 0, 0], [width, 0, 0], [0, height, 0]])
        return ellipse(middle, side - middle, below - middle)

    def paint(self, canvas: Canvas) -> None:
        """Everything, from back to front."""
        self._behind(canvas)
        canvas.fill(self.outline, self.look.skin)
        with canvas.inside(self.outline):
            self._light(canvas)
            if self.look.beard:
                self._beard(canvas)
        self._nose(canvas)
        for side in (0, 1):
            self._eye(canvas, side)
            self._brow(canvas, self.landmarks[17 + 5 * side : 22 + 5 * side])
        self._mouth(canvas)
        if not self.look.bald:
            self._hair(canvas)
        if self.look.glasses:
            self._glasses(canvas)

    def _behind(self, canvas: Canvas) -> None:
        """Long hair, neck, shoulders and ears."""
        w, look = self.person.jaw_width, self.look
        if look.long and not look.bald:
            end = self.rng.uniform(1.0, 2.6)
            locks = [
                [-w - 0.25, end - 0.3, -0.5],
                [-0.8 * w, end, -0.6],
                [0.8 * w, end, -0.6],
                [w + 0.25, end - 0.3, -0.5],
            ]
            behind = np.vstack([shape.skull_3d(self.person, grow=0.16) - [0, 0, 0.2], locks])
            canvas.fill(smooth(self.at(behind)), 0.7 * look.hair)
        neck = [[-0.62 * w, 0.7, -0.6], [0.62 * w, 0.7, -0.6], [0.68 * w, 2.6, -0.7], [-0.68 * w, 2.6, -0.7]]
        canvas.fill(self.at(neck), 0.62 * look.skin)
        half = np.array([[4, 7, -0.8], [2.3, 2.45, -0.8], [0.78, 1.9, -0.7]])
        canvas.fill(smooth(self.at([*half * [-1, 1, 1], [0, 2.2, -0.5], *half[::-1]])), look.cloth)
        for side in (-1, 1):
            ear = np.array([side * w, 0.25, -0.4])
            canvas.fill(self.spot(ear, 0.14, 0.3), 0.84 * look.skin)
            canvas.fill(self.spot(ear + [0.05 * side, 0, 0], 0.06, 0.18), 0.68 * look.skin)

    def _light(self, canvas: Canvas) -> None:
        """The forms of a face: darker away from the light and in hollows, lighter on what stands out."""
        head, points, light = self.head, self.landmarks, self.look.light
        middle = points.mean(axis=0)
        lit = middle + 0.96 * (self.outline - middle) + 0.14 * light * self.across
        canvas.shade([(middle + 1.5 * (self.outline - middle), 84), (lit, 134)], blur=0.13)
        forms = [(self.spot([side * self.person.eye_x, -0.06, 0.25], 0.26, 0.15), 110) for side in (-1, 1)]
        forms += [(self.spot([side * 0.55, 0.5, 0.25], 0.2, 0.16), 140) for side in (-1, 1)]
        forms += [
            (self.spot([0.25 * light, -0.62, 0.3], 0.4, 0.18), 141),
            (self.spot(head[8] - [0, 0.16, 0], 0.2, 0.1), 138),
        ]
        forms += [
            (self.spot(head[57] + [0, 0.05, 0], 0.2, 0.05), 96),
            (self.spot(head[33] + [0, 0.05, 0], 0.22, 0.06), 98),
        ]
        canvas.shade(forms, blur=0.06)
        wing = points[31 if light > 0 else 35]  # of the nose, on the dark side
        flank = np.array([points[27], points[30], points[33], wing, 0.6 * points[27] + 0.4 * wing])
        ridge = np.vstack([points[27:31] + 0.025 * self.across, points[30:26:-1] - 0.025 * self.across])
        canvas.shade([(flank, 98), (ridge, 144), (self.spot(head[30] + [0, 0.02, 0], 0.08, 0.07), 150)], blur=0.035)

    def _beard(self, canvas: Canvas) -> None:
        """From ear to ear, around the mouth."""
        upper = 0.5 * self.landmarks[[48, 51, 54]] + 0.5 * self.landmarks[[31, 33, 35]]
        jaw = self.landmarks[2:15]
        edge = np.vstack(
            [jaw[::-1], 0.4 * upper[0] + 0.6 * self.landmarks[3], upper, 0.4 * upper[2] + 0.6 * self.landmarks[13]]
        )
        canvas.fill(edge, 0.8 * self.look.hair, opacity=self.rng.uniform(0.2, 0.8))

    def _nose(self, canvas: Canvas) -> None:
        """Wings, nostrils, and the edge of the base."""
        points, skin = self.landmarks, self.look.skin
        for wing, inner in ((31, 32), (35, 34)):
            side = 0.25 * (points[wing] - points[33])
            curl = [
                points[wing] - 0.5 * side,
                points[wing],
                points[wing] + 0.15 * self.up + 0.1 * side,
                points[wing] + 0.26 * self.up - 0.3 * side,
            ]
            canvas.line(smooth(np.array(curl)), 0.7 * skin, 0.022)
            canvas.fill(ellipse(points[inner] + 0.04 * self.up + 0.4 * side, 0.9 * side, 0.05 * self.up), 0.34 * skin)
        canvas.line(smooth(points[31:36]), 0.66 * skin, 0.022)

    def _eye(self, canvas: Canvas, side: int) -> None:
        """White, iris, pupil and lids. side: 0 the image's left eye, 1 its right."""
        eye, skin = self.landmarks[36 + 6 * side : 42 + 6 * side], self.look.skin  # (6, 2)
        upper, lower = smooth(eye[:4]), smooth(eye[[3, 4, 5, 0]])
        canvas.fill(np.vstack([upper, lower]), SCLERA * min(1, 0.72 + skin.mean() / 800))
        centre = np.array([(2 * side - 1) * self.person.eye_x + self.pose.gaze_x, self.pose.gaze_y, 0.25])
        with canvas.inside(np.vstack([upper, lower])):
            for share, colour in ((1.0, 0.5 * self.look.iris), (0.85, self.look.iris), (0.42, BLACK)):
                canvas.fill(self.spot(centre, share * self.person.iris, share * self.person.iris), colour)
            canvas.fill(self.spot(centre + [0.3 * self.look.light * self.person.iris, -0.03, 0], 0.016, 0.016), WHITE)
        canvas.line(upper + 0.13 * self.up, 0.7 * skin, 0.018)
        canvas.line(lower, 0.62 * skin, 0.014)
        canvas.line(upper, 0.16 * skin, 0.032)

    def _brow(self, canvas: Canvas, points: np.ndarray) -> None:
        """A tapering brow around its five landmarks (5, 2), with hairs."""
        curve = smooth(points)  # (m, 2)
        taper = np.sin(np.linspace(0.3, np.pi - 0.5, len(curve)))[:, None]
        rise = taper * self.person.brow_thickness * self.up / self.person.nose_tip
        canvas.fill(np.vstack([curve + rise, (curve - rise)[::-1]]), self.look.brow, opacity=0.8)
        outwards = 0.1 * (points[0] - points[-1]) * np.sign((points[0] - self.landmarks[27]) @ (points[0] - points[-1]))
        for along in self.rng.integers(1, len(curve) - 1, 24):
            root = curve[along] - self.rng.uniform(0, 1) * rise[along]
            canvas.line(
                np.array([root, root + 1.3 * rise[along] + outwards]), self.rng.uniform(0.6, 1.1) * self.look.brow, 0.01
            )

    def _mouth(self, canvas: Canvas) -> None:
        """Lips, and between them teeth and the dark."""
        points, lip = self.landmarks, self.look.lip
        upper, lower = smooth(points[48:55]), smooth(points[[54, 55, 56, 57, 58, 59, 48]])
        inner_upper, inner_lower = smooth(points[60:65]), smooth(points[[64, 65, 66, 67, 60]])
        canvas.fill(np.vstack([upper, lower]), lip)
        canvas.fill(np.vstack([upper, inner_upper[::-1]]), 0.84 * lip)
        shine = 0.5 * (points[57] + points[66])
        canvas.fill(
            ellipse(shine, 0.3 * (points[55] - shine), 0.25 * (points[66] - points[57])), 1.15 * lip, opacity=0.5
        )
        opening = np.vstack([inner_upper, inner_lower])
        canvas.fill(opening, MOUTH)
        with canvas.inside(opening):
            teeth = inner_upper + 0.4 * np.minimum(1, np.linalg.norm(points[66] - points[62]) / 0.04) * -0.3 * self.up
            canvas.fill(np.vstack([inner_upper, teeth[::-1]]), TEETH)
        canvas.line(inner_upper, 0.4 * lip, 0.022)

    def _hair(self, canvas: Canvas) -> None:
        """A cap of hair with a parting, down to the hairline or, as a fringe, towards the brows."""
        w, skull, look = self.person.jaw_width, self.person.skull, self.look
        low = self.rng.uniform(0.36, 0.5) if look.fringe else self.rng.uniform(0.6, 0.78) * skull
        temple = self.rng.uniform(-0.15, 0.3)
        line = [[-w, temple, -0.2], [-0.86 * w, -0.5 * low, 0], [-0.55 * w, -0.95 * low, 0.2], [0, -low - 0.05, 0.3]]
        line += [[0.55 * w, -0.95 * low, 0.2], [0.86 * w, -0.5 * low, 0], [w, temple, -0.2]]
        cap = shape.skull_3d(self.person, grow=self.rng.uniform(0.06, 0.16))
        outer, inner = self.at(cap), smooth(self.at(line))
        outline = np.vstack([outer, inner])
        canvas.fill(outline, look.hair)
        part = self.at([[self.rng.uniform(-0.5, 0.5), -skull, 0.0]])[0]
        with canvas.inside(outline):
            for end in outline[self.rng.integers(0, len(outline), 40)]:
                bend = 0.5 * (part + end) + 0.25 * self.up
                strand = np.array([part, bend, end]) + 0.1 * self.rng.uniform(-1, 1, 2) * np.linalg.norm(self.across)
                canvas.line(smooth(strand), self.rng.uniform(0.7, 1.3) * look.hair, 0.03)

    def _glasses(self, canvas: Canvas) -> None:
        """Two round lenses, a bridge and temples; sometimes dark."""
        colour = self.rng.uniform(10, 90, 3)
        lenses = [self.spot([side * self.person.eye_x, 0.05, 0.35], 0.32, 0.25) for side in (-1, 1)]
        for lens, ear in zip(
            lenses, self.at([[-self.person.jaw_width, 0.0, -0.2], [self.person.jaw_width, 0.0, -0.2]]), strict=True
        ):
            canvas.fill(
                lens,
                0.4 * colour if self.look.dark_glasses else WHITE,
                opacity=0.85 if self.look.dark_glasses else 0.12,
            )
            canvas.line(np.vstack([lens, lens[:1]]), colour, 0.04)
            outermost = lens[np.argmin(np.linalg.norm(lens - ear, axis=1))]
            canvas.line(np.array([outermost, ear]), colour, 0.04)
        canvas.line(np.array([lenses[0][0], self.landmarks[27] - 0.02 * self.up, lenses[1][12]]), colour, 0.04)


def _background(rng: np.random.Generator, side: int) -> np.ndarray:
    """A room or a garden out of focus, uint8 (side, side, 3): coarse and fine blotches, and a few straight things."""
    base = rng.uniform(40, 200) + rng.normal(0, 25, 3)
    picture = np.zeros((side, side, 3), np.uint8)
    for cells, spread in ((3, 40), (12, 25), (48, 12)):
        light, colour = rng.normal(0, spread, (cells, cells, 1)), rng.normal(0, spread / 3, (cells, cells, 3))
        blotches = np.clip(base / 3 + light + colour, 0, 255).astype(np.uint8)
        picture = cv2.add(picture, cv2.resize(blotches, (side, side), interpolation=cv2.INTER_LINEAR))
    canvas = Canvas(picture, 1.0)
    for _ in range(rng.integers(0, 6)):
        centre, angle, half = rng.uniform(0, 1, 2), rng.uniform(0, np.pi), rng.uniform(0.02, 0.4, 2)
        canvas.fill(
            _rectangle(centre, angle, half),
            base + rng.normal(0, 50) + rng.normal(0, 25, 3),
            opacity=rng.uniform(0.3, 1.0),
        )
    return cv2.blur(canvas.pixels, (max(1, side // 40),) * 2)


def _rectangle(centre, angle: float, half) -> np.ndarray:
    """The corners (4, 2) of a turned rectangle, from its half sides."""
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return centre + (np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * half) @ turn.T


def _paint_cover(canvas: Canvas, rng: np.random.Generator, landmarks: np.ndarray) -> None:
    """A two-coloured rectangle in front of a part of the face; it hides a quarter of the landmarks' box at most."""
    centre, angle = landmarks[rng.integers(len(landmarks))], rng.uniform(0, np.pi)
    half = rng.uniform(0.06, 0.25, 2) * np.ptp(landmarks, axis=0)
    for share in (1.0, 0.6):
        canvas.fill(_rectangle(centre, angle, share * half), rng.uniform(0, 255, 3))


def _photograph(image: np.ndarray, rng: np.random.Generator, look) -> np.ndarray:
    """Uneven and coloured light, blur and noise, uint8 (size, size, 3)."""
    size = len(image)
    place = np.linspace(-0.5, 0.5, size, dtype=np.float32)
    slope = np.float32(0.35 * look.light) * place[None, :] + np.float32(rng.uniform(-0.3, 0.3)) * place[:, None]
    gain = (rng.uniform(0.65, 1.15) * rng.uniform(0.92, 1.08, 3)).astype(np.float32)
    photo = image.astype(np.float32)  # (size, size, 3)
    photo *= (1 + slope)[..., None]
    photo *= gain
    if look.blur:
        photo = cv2.GaussianBlur(photo, (0, 0), rng.uniform(0.002, 0.007) * size)
    if look.noise:
        photo += rng.standard_normal(photo.shape, np.float32) * np.float32(rng.uniform(1, 9))
    return cv2.convertScaleAbs(np.maximum(photo, 0, out=photo))  # rounds, and stops at 255
