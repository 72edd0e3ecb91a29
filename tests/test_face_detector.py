"""face_detector.py and benchmarks/detector.py: boxes of known faces, their correction, all detectors."""

import dataclasses
import json

import cv2
import numpy as np
import pytest
from annotation_files import write_face
from skimage import data

from benchmarks import detector as detector_benchmark
from benchmarks.detector import find_match, matches, relative_box
from face_datasets.catalogue import DATASETS, get_dataset
from face_datasets.readers import Annotation
from image_utility import overlap
from inference.config import CASCADES, REFINEMENT_PASSES, BoxFit
from inference.face_detector import (
    BoxesFromFile,
    CascadeDetector,
    Detection,
    NoDetector,
    RawBox,
    YuNetDetector,
    _get_fit,
    fitted_box,
    get_detector,
    non_maximum_suppression,
)
from utils.files import write_json

FACE = np.array([178.0, 85, 271, 178])  # of the astronaut, from brows to chin and side to side, drawn by hand


EMPTY = np.zeros((60, 60, 3), np.uint8)


@pytest.fixture(scope="module")
def detector():
    return CascadeDetector()


@pytest.mark.parametrize("points", [68, 98, 29])
def test_the_astronaut(detector, points):
    (face,) = detector.detect(data.astronaut(), points)
    assert overlap(FACE, face.box[None])[0] > (0.75 if points != 29 else 0.5)
    assert 0.5 < face.score <= 1


def test_two_astronauts_of_two_sizes_largest_first(detector):
    one = data.astronaut()[:300, 80:380]
    small = cv2.resize(one, None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA)
    image = np.full((300, 500, 3), 128, np.uint8)
    image[:180, :180], image[:, 200:] = small, one
    faces = [face for face in detector.detect(image, 68) if face.score > 0.8]  # lower scores are false alarms here
    assert len(faces) == 2
    shifted = FACE + [120, 0, 120, 0]  # 200 - 80
    assert overlap(shifted, faces[0].box[None])[0] > 0.7
    assert overlap((FACE - [80, 0, 80, 0]) * 0.6, faces[1].box[None])[0] > 0.7


def test_the_mirror_image_has_the_mirrored_box(detector):
    image = data.astronaut()
    (face,) = detector.detect(image, 68)
    (mirrored,) = detector.detect(np.ascontiguousarray(image[:, ::-1]), 68)
    left, top, right, bottom = mirrored.box
    assert overlap(face.box, np.array([[511 - right, top, 511 - left, bottom]]))[0] > 0.85


def test_boxes_of_large_pictures_that_are_shrunk(detector):
    image = cv2.resize(data.astronaut(), None, fx=4, fy=4)
    (face,) = detector.detect(image, 68)
    assert overlap(FACE * 4, face.box[None])[0] > 0.75


def test_a_face_cut_by_the_border_is_found(detector):
    image = data.astronaut()[:, :256]  # a part of her cheek is missing
    (face,) = detector.detect(image, 68)
    assert overlap(FACE, face.box[None])[0] > 0.6


def test_profile_boxes_of_the_mirrored_image_are_mirrored_back(detector, monkeypatch):
    """The same raw box in the image and in the mirrored image gives boxes that mirror each other."""
    raw = [RawBox(30, 20, 50, 9.0, "profile", mirrored) for mirrored in (False, True)]
    boxes = []
    for one in raw:
        monkeypatch.setattr(detector, "raw", lambda image, one=one: [one])
        ((box, _, _),) = detector.detect(np.zeros((100, 200, 3), np.uint8), 68)
        boxes.append(box)
    left, top, right, bottom = boxes[0]
    np.testing.assert_allclose(boxes[1], [199 - right, top, 199 - left, bottom])


def test_unknown_number_of_landmarks(detector, monkeypatch):
    monkeypatch.setattr(detector, "raw", lambda image: [RawBox(0, 0, 50, 9.0, "profile", False)])
    with pytest.raises(ValueError, match="Received 5"):
        detector.detect(np.zeros((100, 200, 3), np.uint8), 5)


def test_fitted_box_by_hand():
    box = fitted_box(10, 20, 100, 100, BoxFit(x=0.1, y=-0.1, width=0.5, height=0.8))
    np.testing.assert_allclose(box, [45, 20, 95, 100])


def test_of_overlapping_boxes_the_highest_score_is_kept():
    def face(left, score, side=10.0):
        return Detection(np.array([left, 0, left + side, side]), score)

    kept = non_maximum_suppression([face(0, 0.5), face(2, 0.9), face(50, 0.3, 20), face(8, 0.8)], 0.3)
    assert [f.score for f in kept] == [0.3, 0.9, 0.8]  # largest first; 0 and 2 overlap by 2/3, 2 and 8 by 1/4


# --------------------------------------------------------------------------------------------------------------------
# Other detectors
# --------------------------------------------------------------------------------------------------------------------


def test_without_a_detector_the_image_is_the_default_crop():
    """With 10 % padding, the box of the landmarks fills the image."""
    ((box, score, _),) = NoDetector().detect(np.zeros((240, 120, 3), np.uint8), 68)
    np.testing.assert_allclose(box, [9.5, 19.5, 109.5, 219.5])
    assert score == 1


def test_boxes_from_a_file(tmp_path):
    path = tmp_path / "boxes.json"
    write_json(path, [{"image": "in/a.jpg", "faces": [{"box": [1, 2, 30, 40], "score": 0.5}]}])
    for name in ("in/a.jpg", "elsewhere/a.jpg"):
        ((box, score, _),) = get_detector(str(path)).detect(EMPTY, 68, name)
        assert box.tolist() == [1, 2, 30, 40] and score == 0.5
    with pytest.raises(ValueError, match="outside the image"):
        get_detector(str(path)).detect(EMPTY[:10], 68, "a.jpg")
    with pytest.raises(ValueError, match="b.jpg"):
        get_detector(str(path)).detect(EMPTY, 68, "b.jpg")


def test_boxes_from_a_file_are_sorted_by_size(tmp_path):
    """Of equal ones the first stays the first."""
    boxes = [[0, 0, 10, 10], [5, 5, 45, 35], [20, 0, 30, 10], [0, 0, 59, 59]]
    faces = [{"box": box} for box in boxes]
    write_json(tmp_path / "boxes.json", [{"image": "a.jpg", "faces": faces}])
    found = BoxesFromFile(tmp_path / "boxes.json").detect(EMPTY, 68, "a.jpg")
    assert [face.box.tolist() for face in found] == [boxes[3], boxes[1], boxes[0], boxes[2]]


@pytest.mark.parametrize(
    "content",
    ["", "[1]", "{}5", '[{"image": "a"}]', '[{"image": "a", "faces": [{"box": [1, 2, 1, 9]}]}]',
     '[{"image": "a", "faces": [{"box": [1, 2, 3]}]}]', '[{"image": "a", "faces": [{"box": [1, 2, 3, Infinity]}]}]',
     '[{"image": "a", "faces": [{"box": [-1e300, 2, 1e300, 9]}]}]', '[{"image": 1, "faces": []}]',
     '[{"image": "a", "faces": [{"box": [1, 2, 3, 4], "score": NaN}]}]',
     '[{"image": "a", "faces": [{"box": [1, 2, 3, 4], "score": 7}]}]'],
)  # fmt: skip
def test_files_without_boxes(tmp_path, content):
    path = tmp_path / "boxes.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=r"boxes\.json.*(box|score)"):
        BoxesFromFile(path)


def test_a_file_name_alone_must_be_unique(tmp_path):
    faces = [{"box": [1, 2, 30, 40], "score": 0.0}]
    write_json(tmp_path / "boxes.json", [{"image": f"{folder}/a.jpg", "faces": faces} for folder in "xy"])
    boxes = BoxesFromFile(tmp_path / "boxes.json")
    assert boxes.detect(EMPTY, 68, "x/a.jpg")[0].score == 0
    with pytest.raises(ValueError, match="'a.jpg'"):
        boxes.detect(EMPTY, 68, "a.jpg")


def test_unknown_detectors(tmp_path):
    with pytest.raises(ValueError, match="none"):
        get_detector("dlib")
    with pytest.raises(FileNotFoundError, match="face_detection_yunet"):
        get_detector(str(tmp_path / "none.onnx"))
    (tmp_path / "bad.onnx").write_bytes(b"no network")
    with pytest.raises(ValueError, match=r"bad\.onnx"):
        get_detector(str(tmp_path / "bad.onnx"))


def write_yunet(path, side):
    """Write a network with YuNet's outputs for a picture of `side` pixels that detects one fixed face.

    For each stride it has class and object scores, boxes and points of each cell; a face's centre is its cell plus an
    offset in strides, its size the exponential of a number in strides.
    """
    onnx = pytest.importorskip("onnx")
    helper, numpy_helper = onnx.helper, onnx.numpy_helper
    nodes, outputs, constants = [], [], []
    image = helper.make_tensor_value_info("input", onnx.TensorProto.FLOAT, [1, 3, side, side])

    def constant(name, values):
        constants.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    for kind, width in {"cls": 1, "obj": 1, "bbox": 4, "kps": 10}.items():
        for stride in (8, 16, 32):
            name, cells = f"{kind}_{stride}", (side // stride) ** 2
            values = np.zeros((1, cells, width), np.float32)
            if stride == 32:
                cell = 2 * (side // stride) + 3  # row 2, column 3
                values[0, cell] = {"cls": 0.9, "obj": 0.9, "bbox": [0.5, 0.5, np.log(2), np.log(3)], "kps": 0}[kind]
            kernel = constant(f"{name}_kernel", np.zeros((width, 3, stride, stride), np.float32))
            shape = constant(f"{name}_shape", np.array([1, -1, width], np.int64))
            nodes += [
                helper.make_node("Conv", ["input", kernel], [f"{name}_map"], strides=[stride, stride]),
                helper.make_node("Transpose", [f"{name}_map"], [f"{name}_last"], perm=[0, 2, 3, 1]),
                helper.make_node("Reshape", [f"{name}_last", shape], [f"{name}_rows"]),
                helper.make_node("Add", [f"{name}_rows", constant(f"{name}_values", values)], [name]),
            ]
            outputs.append(helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, cells, width]))
    graph = helper.make_graph(nodes, "yunet", [image], outputs, constants)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=8), path)


def test_another_network_is_not_yunet(tmp_path):
    onnx = pytest.importorskip("onnx")
    write_yunet(tmp_path / "other.onnx", 320)
    model = onnx.load(tmp_path / "other.onnx")
    del model.graph.output[0]
    onnx.save(model, tmp_path / "other.onnx")
    with pytest.raises(ValueError, match="not YuNet"):
        YuNetDetector(tmp_path / "other.onnx")


def test_yunet(tmp_path):
    """A picture of 246 pixels with 37 of border on each side is 320 wide. The face: centre 3.5, 2.5 strides of 32."""
    write_yunet(tmp_path / "yunet.onnx", 320)
    (face,) = YuNetDetector(tmp_path / "yunet.onnx").detect(np.zeros((246, 246, 3), np.uint8), 68)
    centre, half = np.array([3.5, 2.5]) * 32 - 37, np.array([2, 3]) * 32 / 2
    np.testing.assert_allclose(face.box, [*(centre - half), *(centre + half)], atol=1e-3)
    assert face.score == pytest.approx(0.9)


# --------------------------------------------------------------------------------------------------------------------
# Measurements
# --------------------------------------------------------------------------------------------------------------------


def test_a_fitted_box_is_the_box_of_the_landmarks():
    """fitted_box is the inverse of relative_box, in the mirrored image too."""
    landmarks = np.array([[20.0, 30], [60, 90]])
    x, y, width, height = relative_box(RawBox(10, 20, 80, 1.0, "frontal", False), landmarks, 200)
    np.testing.assert_allclose(fitted_box(10, 20, 80, 80, BoxFit(x, y, width, height)), [20, 30, 60, 90])
    x, y, width, height = relative_box(RawBox(130, 20, 80, 1.0, "profile", True), landmarks, 200)
    np.testing.assert_allclose(fitted_box(130, 20, 80, 80, BoxFit(x, y, width, height)), [139, 30, 179, 90])


def test_what_counts_as_found():
    assert matches(np.array([0.1, 0.1, 0.8, 0.8])) and not matches(np.array([0.6, 0, 0.8, 0.8]))
    assert not matches(np.array([0, 0, 0.3, 0.3]))  # a box three times as large
    landmarks = np.array([[0.0, 0], [10, 10]])
    near, far = (Detection(np.array(box, np.float64), 1.0) for box in ([1, 1, 11, 11], [30, 30, 40, 40]))
    assert find_match([far, near], landmarks) is near
    assert find_match([far], landmarks) is None and find_match([], landmarks) is None


@pytest.mark.integration
def test_measuring_prints_the_facts(tmp_path, capsys):
    """Astronauts with landmarks on the diagonal of the box: the mean fit is that of the cascade's box."""
    points = np.linspace(FACE[:2], FACE[2:], 68)
    for number in range(3):
        shifted = np.roll(data.astronaut(), 7 * number, axis=1)
        write_face(tmp_path / "afw", f"{number}_1", shifted, points + [7 * number, 0])
    noise = np.random.default_rng(0).integers(0, 256, (300, 300, 3), np.uint8)
    write_face(tmp_path / "afw", "noise_1", noise, points)
    assert detector_benchmark.main(["--dataset", "300W", "--raw", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert "frontal: 3 of 4 faces found" in printed and "width 0.9" in printed
    assert detector_benchmark.main(["--dataset", "300W", "--raw", str(tmp_path), "--split", "test"]) == 1
    assert "no test faces" in capsys.readouterr().err


@pytest.mark.integration
def test_the_cost_of_boxes_has_the_data_set_s_normaliser(weights, tmp_path, capsys):
    """A set with boxes, as AFLW's: boxes of twice the side halve every error."""
    cv2.imwrite(str(tmp_path / "a.png"), data.astronaut()[:, :, ::-1])
    dataset = dataclasses.replace(get_dataset("300W"), normaliser="box")
    landmarks = np.linspace(FACE[:2], FACE[2:], 68)
    raw = Annotation("a.png", dataset.parts[0], tmp_path / "a.png", None, landmarks, "a.png")
    printed = []
    for side in (10, 20):
        boxed = dataclasses.replace(raw, box=(5, 5, 5 + side, 5 + side))
        detector_benchmark.compare(dataset, [boxed, boxed], str(weights))
        head, *rows = capsys.readouterr().out.splitlines()[1:]
        printed.append([float(row.split()[-2]) for row in rows])
        assert head.startswith("box NME in %") and len(rows) == 2 * (1 + REFINEMENT_PASSES)
    np.testing.assert_allclose(printed[0], 2 * np.array(printed[1]), atol=0.03)
    with pytest.raises(ValueError, match="needs a box of every face"):
        detector_benchmark.compare(dataset, [boxed, raw], str(weights))


def test_every_data_set_has_a_box():
    for dataset in DATASETS.values():
        for row in CASCADES.values():
            assert _get_fit(row.fits, dataset.layout.points) in row.fits.values()


def test_boxes_file_of_predictions_reads(tmp_path):
    entry = {"image": "x.png", "faces": [{"box": [0, 0, 5, 5], "score": 1.0, "landmarks": [], "confidence": None}]}
    (tmp_path / "landmarks.json").write_text(json.dumps([entry]))
    assert len(BoxesFromFile(tmp_path / "landmarks.json").detect(EMPTY, 68, "x.png")) == 1
