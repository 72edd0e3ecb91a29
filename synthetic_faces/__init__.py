"""Renderer of synthetic faces: a parametric 3D head with exact landmarks, anchors and contours."""

from synthetic_faces.face import SyntheticFace, get_landmarks, render_face, render_parameters
from synthetic_faces.parameters import draw_parameters

__all__ = ["SyntheticFace", "draw_parameters", "get_landmarks", "render_face", "render_parameters"]
