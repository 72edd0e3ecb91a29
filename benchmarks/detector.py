"""How the cascades' boxes lie to the landmarks' boxes, how many faces they find, and what their boxes cost.

    python -m benchmarks.detector --dataset 300W --raw DIR
    python -m benchmarks.detector --dataset 300W --raw DIR --split test --weights runs/acr/best.keras

The first, on training faces, prints the facts of photos.config.CASCADES. The second prints the NME from detector boxes
beside that from the landmarks' boxes.
"""

import argparse
import sys
from collections.abc import Sequence

import numpy as np
from tqdm import tqdm

from face_datasets.catalogue import TITLES, Dataset, get_dataset
from face_datasets.normalisers import normaliser_distance
from face_datasets.readers import Annotation, SkippedFace, find_parts, read_face, read_part
from image_utility import landmark_box, overlap
from inference.config import CASCADES, DETECTION, REFINEMENT_PASSES
from inference.face_detector import CascadeDetector, Detection, RawBox
from inference.predictor import Predictor
from metrics import failure_rate, nme

MATCH = 0.4  # a box whose middle lies within this share of the longer side from the landmarks' box's shows the face
SIZES = (0.5, 2.0)  # and whose side is in this range of it


def faces_of(dataset: Dataset, raw_dir: str, split: str) -> list[Annotation]:
    """The annotated faces of one split (train, test or private), pictures not opened yet.

    Raises:
        FileNotFoundError, ValueError: the folder is not the data set, or holds none of that split.
    """
    parts = [part for part in find_parts(dataset, raw_dir)[0] if part.split == split]
    found = [face for part in parts for face in read_part(dataset, part, raw_dir)]
    faces = [face for face in found if not isinstance(face, SkippedFace)]
    if not faces:
        raise ValueError(f"{dataset.title} in {raw_dir} has no {split} faces. Received parts {parts}")
    return faces


def place_in(raw: RawBox, landmarks: np.ndarray, image_width: int) -> np.ndarray:
    """The landmarks' box in units of a cascade's box: x, y of its middle from the box's middle, width, height."""
    left, top, right, bottom = landmark_box(landmarks)
    if raw.mirrored:
        left, right = image_width - 1 - right, image_width - 1 - left
    middle = np.array([left + right, top + bottom]) / 2 - (np.array([raw.left, raw.top]) + raw.side / 2)
    return np.array([*middle, right - left, bottom - top]) / raw.side


def shows(place: np.ndarray) -> bool:
    """Whether a box with the landmarks at this place (4,) is a detection of their face."""
    longer = place[2:].max()
    return bool(np.hypot(*place[:2]) < MATCH * longer and SIZES[0] < 1 / longer < SIZES[1])


def measure(dataset: Dataset, faces: Sequence[Annotation]) -> None:
    """Prints, for each cascade, the share of faces found, the mean place with its spread, and the score's curve."""
    from sklearn.linear_model import LogisticRegression

    detector = CascadeDetector()
    places = {name: [] for name in CASCADES}
    weights = {name: ([], []) for name in CASCADES}  # of other boxes, of boxes of the annotated face
    found = {name: 0 for name in CASCADES}
    for annotated in tqdm(faces, unit="face", disable=None):
        image, annotated = read_face(annotated)
        hits = set()
        for raw in detector.raw(image):
            place = place_in(raw, annotated.landmarks, image.shape[1])
            hit = shows(place)
            weights[raw.cascade][hit].append(raw.weight)
            if hit:
                places[raw.cascade].append(place)
                hits.add(raw.cascade)
        for name in hits:
            found[name] += 1
    for name in CASCADES:
        measured = np.array(places[name])  # (boxes, 4)
        other, right = weights[name]
        print(f"{name}: {found[name]} of {len(faces)} faces found, {len(other)} other boxes")
        if not places[name]:
            continue
        for title, row in (("mean", measured.mean(axis=0)), ("standard deviation", measured.std(axis=0))):
            print("  {:<19} x {:+.3f}, y {:+.3f}, width {:.3f}, height {:.3f}".format(title, *row))
        if not other:
            print("  score: cannot be told from boxes that are all right")
            continue
        curve = LogisticRegression(C=1e6).fit(np.array(other + right)[:, None], [0] * len(other) + [1] * len(right))
        print(f"  score: slope {curve.coef_[0, 0]:.3f}, offset {curve.intercept_[0]:.2f}")


def found_face(found: list[Detection], landmarks: np.ndarray) -> Detection | None:
    """The detection of an annotated face: the one that overlaps the landmarks' box most, and by enough."""
    if not found:
        return None
    shares = overlap(landmark_box(landmarks), np.stack([face.box for face in found]))
    return found[int(shares.argmax())] if shares.max() > DETECTION.overlap else None


def compare(dataset: Dataset, faces: Sequence[Annotation], weights: str) -> None:
    """Prints the NME from detector boxes, after each pass, beside that from the landmarks' boxes."""
    predictor = Predictor(weights)
    if predictor.layout != dataset.layout:
        raise ValueError(f"{weights} is not for {dataset.title}. Received {predictor.network.points} landmarks")
    plain = Predictor(predictor.network, confidence=False)
    boxes = None if any(face.box is None for face in faces) else np.array([face.box for face in faces])
    truth, hits, faces_found = [], [], 0
    predicted = {
        title: [] for title in ("landmark boxes", *(f"detector, {n + 1} passes" for n in range(REFINEMENT_PASSES)))
    }
    predicted |= {f"{title}, mean of copies": [] for title in list(predicted)}
    for annotated in tqdm(faces, unit="face", disable=None):
        image, annotated = read_face(annotated)
        landmarks = annotated.landmarks
        found = predictor.detector.detect(image, predictor.layout.points)
        faces_found += len(found)
        face = found_face(found, landmarks)
        truth.append(landmarks)
        hits.append(face is not None)
        exact = Detection(landmark_box(landmarks), 1.0, landmarks)
        for way, end in ((plain, ""), (predictor, ", mean of copies")):
            jobs = {"landmark boxes": (exact, 1)}
            jobs |= {f"detector, {n + 1} passes": (face or exact, n + 1) for n in range(REFINEMENT_PASSES)}
            for title, (start, passes) in jobs.items():
                predicted[title + end].append(way.predict_boxes([image], [[start]], passes)[0][0].landmarks)
    truth, hits = np.stack(truth), np.array(hits)
    print(f"found {hits.sum()} of {len(faces)} faces ({hits.mean():.1%}), {faces_found - hits.sum()} other boxes")
    names = [face.image for face in faces]
    distance = normaliser_distance(truth, dataset.layout, dataset.normaliser, names, boxes)
    print(f"{dataset.normaliser} NME in %        {'all faces':>12}{'found faces':>12}{'FR@10, found':>14}")
    for title, landmarks in predicted.items():
        errors = nme(np.stack(landmarks), truth, distance)
        everyone = f"{errors.mean():12.2f}" if title.startswith("landmark") else f"{'':12}"
        print(f"{title:<32}{everyone}{errors[hits].mean():12.2f}{failure_rate(errors[hits], 10):14.4f}")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(description="Measures the cascades on annotated faces.")
    parser.add_argument("--dataset", required=True, help=f"one of {TITLES}")
    parser.add_argument("--raw", required=True, help="folder of the unpacked data set")
    parser.add_argument("--split", default="train", choices=("train", "test", "private"), help="which faces")
    parser.add_argument("--weights", help="also compare errors from detector boxes and from landmarks' boxes")
    options = parser.parse_args(arguments)
    try:
        dataset = get_dataset(options.dataset)
        faces = faces_of(dataset, options.raw, options.split)
        print(f"{len(faces)} {options.split} faces of {dataset.title}")
        if options.weights:
            compare(dataset, faces, options.weights)
        else:
            measure(dataset, faces)
    except (ValueError, OSError, ImportError) as error:
        print(f"benchmarks.detector: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
