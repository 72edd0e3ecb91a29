"""The camera: from head coordinates to camera coordinates, and with perspective to the image."""

from dataclasses import dataclass

import numpy as np

PIVOT = np.array([0.0, 0.55, -0.35])  # head coordinates of the point that a head rotates about


def rotation(yaw: float, pitch: float, roll: float) -> np.ndarray:
    """Return a rotation matrix (3, 3).

    Args:
        yaw: in degrees; positive turns the face to the image's right.
        pitch: in degrees; positive turns it upwards.
        roll: in degrees; positive turns it clockwise in the image.
    """
    yaw, pitch, roll = np.radians([yaw, pitch, roll])
    turn = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
    nod = np.array([[1, 0, 0], [0, np.cos(pitch), -np.sin(pitch)], [0, np.sin(pitch), np.cos(pitch)]])
    tilt = np.array([[np.cos(roll), -np.sin(roll), 0], [np.sin(roll), np.cos(roll), 0], [0, 0, 1]])
    return tilt @ nod @ turn


@dataclass(frozen=True)
class Camera:
    """The pose of a head in front of a perspective camera.

    Attributes:
        rotation: (3, 3), of the head.
        distance: of the camera from the pivot, head units.
        scale: of a head unit at the pivot, fraction of the image size.
        x: of the pivot in the image, fraction of the image size.
        y: of the pivot in the image, fraction of the image size.
    """

    rotation: np.ndarray
    distance: float
    scale: float
    x: float
    y: float

    @classmethod
    def from_pose(cls, pose) -> "Camera":
        """Return the camera for the pose of a FaceParameters."""
        return cls(
            rotation(pose.yaw, pose.pitch, pose.roll), pose.distance, pose.scale, pose.x, pose.y + PIVOT[1] * pose.scale
        )

    def to_camera(self, points: np.ndarray) -> np.ndarray:
        """Transform head coordinates (..., 3) to camera coordinates: x right, y down, depth towards the viewer."""
        return (points - PIVOT) @ self.rotation.T.astype(points.dtype)

    def project(self, points: np.ndarray) -> np.ndarray:
        """Project camera coordinates (..., 3) to x and y as fractions of the image size, and depth (..., 3)."""
        scale = self.scale * self.distance / (self.distance - points[..., 2:])
        position = points[..., :2] * scale + np.array([self.x, self.y], points.dtype)
        return np.concatenate([position, points[..., 2:]], axis=-1)
