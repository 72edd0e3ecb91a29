"""The embedded data set: faces that the project draws itself, with exact landmarks in the 68-point layout.

    from synthetic_faces import render_face
    image, landmarks = render_face(seed=1)  # uint8 RGB (256, 256, 3), float64 (68, 2)

shape.py says where the parts of a head lie, paint.py turns them into a picture.
"""

from synthetic_faces.paint import render_face

__all__ = ["render_face"]
