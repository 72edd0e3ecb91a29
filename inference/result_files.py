"""Files of landmarks, written face by face, so that a long video needs no more memory than a short one.

JSON is a list of {"image", "faces": [{"box", "score", "landmarks", "confidence"}]}. Entries of a video also have
"frame", and their faces "track". Faces with an outline also have "anchors" and "contours" by name. CSV has one row per
face.
"""

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from ace_net.outlines import to_entry
from inference.predictor import Face

PIXEL_DECIMALS = 3
PROBABILITY_DECIMALS = 4


class ResultFile(Protocol):
    """Interface of a file of results, as a context manager."""

    def __enter__(self) -> "ResultFile": ...

    def __exit__(self, *problem: object) -> None: ...

    def write(self, image: str, faces: Sequence[Face], frame: int | None = None) -> None:
        """Write the faces of one image, or of one frame of a video.

        Args:
            image: name of the image or the video.
            faces: the faces.
            frame: number of the frame, from 0; None for an image.
        """
        ...


class JsonResults:
    """JSON file of results; see above.

    Args:
        path: the file.
        points: number of landmarks; not used.
    """

    def __init__(self, path: Path, points: int):
        self._file, self._separator = open(path, "w", encoding="utf-8"), "\n"

    def __enter__(self) -> "JsonResults":
        self._file.write("[")
        return self

    def write(self, image: str, faces: Sequence[Face], frame: int | None = None) -> None:
        """See ResultFile."""
        entry = {"image": image} | ({} if frame is None else {"frame": frame})
        text = json.dumps(entry | {"faces": list(map(face_entry, faces))}, allow_nan=False)
        self._file.write(self._separator + text)
        self._separator = ",\n"

    def __exit__(self, *problem: object) -> None:
        self._file.write("\n]\n")
        self._file.close()


class CsvResults:
    """CSV file of results; see above. Columns that do not apply (frame, track, confidence) are empty.

    Args:
        path: the file.
        points: number of landmarks.
    """

    def __init__(self, path: Path, points: int):
        self._file = open(path, "w", encoding="utf-8", newline="")
        self._writer = csv.writer(self._file)
        columns = [f"{value}{i}" for i in range(points) for value in ("x", "y", "confidence")]
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
    """Return the JSON object of a face."""
    entry = {
        "box": face.box.round(PIXEL_DECIMALS).tolist(),
        "score": round(face.score, PROBABILITY_DECIMALS),
        "landmarks": face.landmarks.round(PIXEL_DECIMALS).tolist(),
        "confidence": None if face.confidence is None else face.confidence.round(PROBABILITY_DECIMALS).tolist(),
    }
    if face.outline is not None:
        entry |= to_entry(face.outline, PIXEL_DECIMALS)
    return entry if face.track is None else entry | {"track": face.track}
