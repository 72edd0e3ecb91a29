"""The embedded data set: 3D faces that the project renders itself, with exact landmarks, anchors and contours."""

from synthetic_faces.face import SyntheticFace, render_face, render_parameters, shape_of
from synthetic_faces.parameters import draw_parameters

__all__ = ["SyntheticFace", "draw_parameters", "render_face", "render_parameters", "shape_of"]
