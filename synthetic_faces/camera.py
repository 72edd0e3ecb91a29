"""From a head's own coordinates to the camera's, and with perspective into the picture."""

from dataclasses import dataclass

import numpy as np

PIVOT = np.array([0.0, 0.55, -0.35])  # what a head turns about


def rotation(yaw: float, pitch: float, roll: float) -> np.ndarray:
    """The matrix (3, 3) of angles in degrees; a positive yaw turns the face to the image's right, a pitch upwards."""
    yaw, pitch, roll = np.radians([yaw, pitch, roll])
    turn = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
    nod = np.array([[1, 0, 0], [0, np.cos(pitch), -np.sin(pitch)], [0, np.sin(pitch), np.cos(pitch)]])
    tilt = np.array([[np.cos(roll), -np.sin(roll), 0], [np.sin(roll), np.cos(roll), 0], [0, 0, 1]])
    return tilt @ nod @ turn


@dataclass(frozen=True)
class Camera:
    """Where a head stands before the camera.

    turn: (3, 3), the head's rotation. distance: of the camera from the pivot.
    scale: of a head unit at the pivot, x and y: where the pivot lies, in sides of the picture.
    """

    turn: np.ndarray
    distance: float
    scale: float
    x: float
    y: float

    @classmethod
    def of(cls, pose) -> "Camera":
        """The camera of a FaceParameters' pose."""
        return cls(
            rotation(pose.yaw, pose.pitch, pose.roll), pose.distance, pose.scale, pose.x, pose.y + PIVOT[1] * pose.scale
        )

    def see(self, points: np.ndarray) -> np.ndarray:
        """Points (..., 3) of the head in the camera's coordinates: x right, y down, z towards the viewer."""
        return (points - PIVOT) @ self.turn.T.astype(points.dtype)

    def project(self, seen: np.ndarray) -> np.ndarray:
        """Camera coordinates (..., 3) to places in the picture and nearness (..., 3), in sides of the picture."""
        near = self.scale * self.distance / (self.distance - seen[..., 2:])
        place = seen[..., :2] * near + np.array([self.x, self.y], seen.dtype)
        return np.concatenate([place, seen[..., 2:]], axis=-1)
