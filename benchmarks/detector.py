"""Position of the cascades' boxes relative to landmarks' boxes, number of detected faces, and NME of detector boxes.

    python -m benchmarks.detector --dataset 300W --raw DIR
    python -m benchmarks.detector --dataset 300W --raw DIR --split test --weights runs/acr/best.keras

The first, on training faces, prints the numbers of inference.config.CASCADES. The second prints the NME from detector
boxes and from the landmarks' boxes.
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
from metrics import failure_rate, nme
from utils import cli

# A box detects a face if their centres are closer than MATCH of the longer side of the landmarks' box, and the ratio of
# the sides is in SIZES.
MATCH = 0.4
SIZES = (0.5, 2.0)


def load_annotations(dataset: Dataset, raw_dir: str, split: str) -> list[Annotation]:
    """Return the annotated faces of one split (train, test or private), without opening the pictures.

    Raises:
        FileNotFoundError, ValueError: the folder is not the data set, or holds none of that split.
    """
    parts = [part for part in find_parts(dataset, raw_dir)[0] if part.split == split]
    found = [face for part in parts for face in read_part(dataset, part, raw_dir)]
    faces = [face for face in found if not isinstance(face, SkippedFace)]
    if not faces:
        raise ValueError(f"{dataset.title} in {raw_dir} has no {split} faces. Received parts {parts}")
    return faces


def relative_box(raw: RawBox, landmarks: np.ndarray, image_width: int) -> np.ndarray:
    """Return the landmarks' box relative to a cascade's box, in its sides: x and y of the centre, width, height."""
    left, top, right, bottom = landmark_box(landmarks)
    if raw.mirrored:
        left, right = image_width - 1 - right, image_width - 1 - left
    middle = np.array([left + right, top + bottom]) / 2 - (np.array([raw.left, raw.top]) + raw.side / 2)
    return np.array([*middle, right - left, bottom - top]) / raw.side


def matches(box: np.ndarray) -> bool:
    """Return whether a box detects a face whose relative box (4,) this is."""
    longer = box[2:].max()
    return bool(np.hypot(*box[:2]) < MATCH * longer and SIZES[0] < 1 / longer < SIZES[1])


def measure(dataset: Dataset, faces: Sequence[Annotation]) -> None:
    """Print detected faces, mean relative box with its standard deviation, and score curve of each cascade."""
    from sklearn.linear_model import LogisticRegression

    detector = CascadeDetector()
    boxes = {name: [] for name in CASCADES}
    weights = {name: ([], []) for name in CASCADES}  # of other boxes, of boxes of the annotated face
    found = {name: 0 for name in CASCADES}
    for annotated in tqdm(faces, unit="face", disable=None):
        image, annotated = read_face(annotated)
        hits = set()
        for raw in detector.raw(image):
            box = relative_box(raw, annotated.landmarks, image.shape[1])
            hit = matches(box)
            weights[raw.cascade][hit].append(raw.weight)
            if hit:
                boxes[raw.cascade].append(box)
                hits.add(raw.cascade)
        for name in hits:
            found[name] += 1
    for name in CASCADES:
        measured = np.array(boxes[name])  # (boxes, 4)
        other, right = weights[name]
        print(f"{name}: {found[name]} of {len(faces)} faces found, {len(other)} other boxes")
        if not boxes[name]:
            continue
        for title, row in (("mean", measured.mean(axis=0)), ("standard deviation", measured.std(axis=0))):
            print("  {:<19} x {:+.3f}, y {:+.3f}, width {:.3f}, height {:.3f}".format(title, *row))
        if not other:
            print("  score: unknown, because all boxes are right")
            continue
        curve = LogisticRegression(C=1e6).fit(np.array(other + right)[:, None], [0] * len(other) + [1] * len(right))
        print(f"  score: slope {curve.coef_[0, 0]:.3f}, offset {curve.intercept_[0]:.2f}")


def find_match(found: list[Detection], landmarks: np.ndarray) -> Detection | None:
    """Return the detection of an annotated face: the one that overlaps the landmarks' box most, None if too little."""
    if not found:
        return None
    overlaps = overlap(landmark_box(landmarks), np.stack([face.box for face in found]))
    return found[int(overlaps.argmax())] if overlaps.max() > DETECTION.overlap else None


def compare(dataset: Dataset, faces: Sequence[Annotation], weights: str) -> None:
    """Print the NME from detector boxes, after each pass, and from the landmarks' boxes."""
    from inference.predictor import Predictor

    predictor = Predictor(weights)
    if predictor.layout != dataset.layout:
        raise ValueError(f"{weights} is not for {dataset.title}. Received {predictor.network.points} landmarks")
    plain = Predictor(predictor.network, confidence=False)
    boxes = None if any(face.box is None for face in faces) else np.array([face.box for face in faces])
    truth, hits, faces_found = [], [], 0
    predicted = {
        title: [] for title in ("landmark boxes", *(f"detector, {n + 1} passes" for n in range(REFINEMENT_PASSES)))
    }
    predicted |= {f"{title}, mean of TTA views": [] for title in list(predicted)}
    for annotated in tqdm(faces, unit="face", disable=None):
        image, annotated = read_face(annotated)
        landmarks = annotated.landmarks
        found = predictor.detector.detect(image, predictor.layout.points)
        faces_found += len(found)
        face = find_match(found, landmarks)
        truth.append(landmarks)
        hits.append(face is not None)
        exact = Detection(landmark_box(landmarks), 1.0, landmarks)
        for way, end in ((plain, ""), (predictor, ", mean of TTA views")):
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


def work(options: argparse.Namespace) -> None:
    """Print the table of the command line."""
    dataset = get_dataset(options.dataset)
    faces = load_annotations(dataset, options.raw, options.split)
    print(f"{len(faces)} {options.split} faces of {dataset.title}")
    if options.weights:
        compare(dataset, faces, options.weights)
    else:
        measure(dataset, faces)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    parser = argparse.ArgumentParser(description="Measure the face detector on annotated faces.")
    parser.add_argument("--dataset", required=True, help=f"data set: one of {TITLES}")
    parser.add_argument("--raw", required=True, help="folder of the unpacked data set")
    parser.add_argument(
        "--split", default="train", choices=("train", "test", "private"), help="split; default: %(default)s"
    )
    parser.add_argument("--weights", help="file of weights, to compare NME from detector boxes and landmarks' boxes")
    options = parser.parse_args(arguments)
    return cli.run(lambda: work(options), "detector")


if __name__ == "__main__":
    sys.exit(main())
