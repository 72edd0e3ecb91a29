"""Landmarks in files, written face by face, so that a long video needs no more memory than a short one.

JSON is a list of {"image", "faces": [{"box", "score", "landmarks", "confidence"}]}; an entry of a video has its "frame"
besides, and its faces have their "track". Faces with an outline have "anchors" and "contours" by name besides. CSV has
one row for each face.
"""

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from ace_net.outlines import to_entry
from inference.predictor import Face

PIXEL_DECIMALS = 3
SHARE_DECIMALS = 4


class ResultFile(Protocol):
    """A file that results are written to one after the other, as a context manager."""

    def __enter__(self) -> "ResultFile": ...

    def __exit__(self, *problem: object) -> None: ...

    def write(self, image: str, faces: Sequence[Face], frame: int | None = None) -> None:
        """Writes the faces of one image, or of one frame of a video."""
        ...


class JsonResults:
    """See above. `points` is the number of landmarks."""

    def __init__(self, path: Path, points: int):
        self._file, self._between = open(path, "w", encoding="utf-8"), "\n"

    def __enter__(self) -> "JsonResults":
        self._file.write("[")
        return self

    def write(self, image: str, faces: Sequence[Face], frame: int | None = None) -> None:
        """See ResultFile."""
        entry = {"image": image} | ({} if frame is None else {"frame": frame})
        text = json.dumps(entry | {"faces": list(map(face_entry, faces))}, allow_nan=False)
        self._file.write(self._between + text)
        self._between = ",\n"

    def __exit__(self, *problem: object) -> None:
        self._file.write("\n]\n")
        self._file.close()


class CsvResults:
    """See above. Columns of what does not apply (frame, track, confidence) are empty."""

    def __init__(self, path: Path, points: int):
        self._file = open(path, "w", encoding="utf-8", newline="")
        self._writer = csv.writer(self._file)
        columns = [f"{what}{i}" for i in range(points) for what in ("x", "y", "confidence")]
        self._writer.writerow(["image", "frame", "track", "left", "top", "right", "bottom", "score", *columns])

    def __enter__(self) -> "CsvResults":
        return self

    def write(self, image: str, faces: Sequence[Face], frame: int | None = None) -> None:
        """See ResultFile."""
        for entry in map(face_entry, faces):
            confidence = entry["confidence"] or [None] * len(entry["landmarks"])
            points = [
                value for point, sure in zip(entry["landmarks"], confidence, strict=True) for value in (*point, sure)
            ]
            self._writer.writerow([image, frame, entry.get("track"), *entry["box"], entry["score"], *points])

    def __exit__(self, *problem: object) -> None:
        self._file.close()


FORMATS = {"json": JsonResults, "csv": CsvResults}


def face_entry(face: Face) -> dict:
    """A face as JSON has it."""
    entry = {
        "box": face.box.round(PIXEL_DECIMALS).tolist(),
        "score": round(face.score, SHARE_DECIMALS),
        "landmarks": face.landmarks.round(PIXEL_DECIMALS).tolist(),
        "confidence": None if face.confidence is None else face.confidence.round(SHARE_DECIMALS).tolist(),
    }
    if face.outline is not None:
        entry |= to_entry(face.outline, PIXEL_DECIMALS)
    return entry if face.track is None else entry | {"track": face.track}
