"""HELEN's own annotation of 194 points, for evaluation only."""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from face_datasets.catalogue import Dataset, Part
from face_datasets.readers.annotation import Annotation, SkippedFace, find_picture_folder, get_subsets, parse_points

HELEN_TEST_FOLDERS = ("test", "testset", "helen/testset")  # as unpacked, or as in 300W


def read_helen194(dataset: Dataset, part: Part, root: Path) -> Iterator[Annotation | SkippedFace]:
    """Read annotation/NUMBER.txt: a picture's name, then 194 lines "x , y".

    Pixels are taken to count from 0; no document states it. Test faces are those whose picture lies in one of
    HELEN_TEST_FOLDERS; other annotations are passed over.
    """
    folder = find_picture_folder(root, HELEN_TEST_FOLDERS)
    for path in sorted((root / part.path).glob("*.txt"), key=lambda file: (len(file.stem), file.stem)):
        name, *lines = path.read_text(encoding="utf-8-sig", errors="replace").split("\n")
        picture = PurePosixPath(folder, f"{PurePosixPath(name.strip()).name}.jpg")
        if not (root / picture).is_file():
            continue
        try:
            points = parse_points([line for line in lines if line.strip()], dataset.layout.points)
        except ValueError as error:
            yield SkippedFace(f"{part.path}/{path.name}", str(error), part)
            continue
        yield Annotation(str(picture), part, root / picture, None, points, str(picture), get_subsets(part))
