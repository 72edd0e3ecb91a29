"""Video: the filter, the tracker on a clip of known motion, truncated and invalid files, the command line."""

import dataclasses
import json

import cv2
import numpy as np
import pytest
from skimage import data

import predict
from benchmarks.jitter import KnownBox, jitter, lag, make_clip, motion, track
from config import CROPS
from face_datasets.layouts import LAYOUT_68
from image_utility import crop_image, landmark_box, transform
from inference.config import CAMERA_FRAME_RATE, TRACKING
from inference.face_detector import Detection
from inference.face_tracker import FaceFilter, FaceTracker, OneEuroFilter
from inference.predictor import Face, Predictor
from inference.video_files import Video, VideoWriter
from methods import Codec
from synthetic_faces import render_face
from utils.files import write_json

SIZE = 64
SEED = 5
FRAMES = 90


class Matcher:
    """A stand-in for a network that was trained on one rendered face.

    It aligns each crop with the still picture to a fraction of a pixel (OpenCV's ECC), and its landmarks have an error
    of 0.25 px, different for every crop, as a network's have in noisy frames.
    """

    input_size, points, crop, dataset, layout, codec = SIZE, 68, "square", "300W", LAYOUT_68, Codec()

    def __init__(self, image, landmarks):
        crops, matrices = crop_image(image, CROPS["square"], landmarks, SIZE, np.eye(2, 3)[None])
        self._still, self._landmarks = _grey(crops[0] / 255), transform(landmarks, matrices[0])
        self.rng = np.random.default_rng(SEED)

    def predict(self, images):
        return np.stack([self._match(_grey(image)) for image in images])

    def _match(self, crop):
        start = np.eye(2, 3, dtype=np.float32)
        stop = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 60, 1e-6)
        try:
            _, motion = cv2.findTransformECC(self._still, crop, start, cv2.MOTION_AFFINE, stop, None, 5)
        except cv2.error:  # nothing like the face
            motion = np.array([[9.0, 0, 0], [0, 9, 0]])
        return transform(self._landmarks, motion) + self.rng.normal(0, 0.25, (68, 2))


def _grey(image):
    return np.asarray(image, np.float32).mean(axis=-1)


@pytest.fixture(scope="module")
def clip():
    """Noisy frames of a rendered face in motion, its true landmarks in each, and a predictor for this face."""
    face = render_face(SEED)
    image, landmarks = face.image, face.landmarks()
    frames, matrices = make_clip(image, landmarks, FRAMES, noise=6.0)
    truth = transform(landmarks, matrices)
    return frames, truth, Predictor(Matcher(image, landmarks), KnownBox(truth[0]), confidence=False)


# --------------------------------------------------------------------------------------------------------------------
# The filter
# --------------------------------------------------------------------------------------------------------------------


def test_one_euro_by_hand():
    """One step: speed 1 unit/s filtered to a, cutoff = 1 + 2 a, then the value with that cutoff's smoothing factor."""
    filter = OneEuroFilter(dataclasses.replace(TRACKING, cutoff=1.0, beta=2.0, speed_cutoff=1.0))
    np.testing.assert_array_equal(filter.smooth(np.array([[0.0]]), 0.0), [[0]])
    speed = 1 / (1 + 1 / (2 * np.pi * 0.1))
    cutoff = 1 + 2 * speed
    expected = 0.1 / (1 + 1 / (2 * np.pi * cutoff * 0.1))
    np.testing.assert_allclose(filter.smooth(np.array([[0.1]]), 0.1), [[expected]])


def test_the_filter_keeps_faces_at_rest_and_commutes_with_similarities():
    landmarks = np.random.default_rng(0).uniform(100, 200, (60, 68, 2)).cumsum(axis=0) / np.arange(1, 61)[:, None, None]
    still = FaceFilter()
    for seconds in range(5):
        np.testing.assert_allclose(still.smooth(landmarks[0], seconds), landmarks[0], atol=1e-9)
    one, other = FaceFilter(), FaceFilter()  # of a picture, and of the same picture rotated, three times as large
    similarity = np.array([[0.0, -3, 50], [3, 0, -20]])
    for number, shape in enumerate(landmarks):
        smoothed = one.smooth(shape, number / 30)
        np.testing.assert_allclose(
            other.smooth(transform(shape, similarity), number / 30), transform(smoothed, similarity), atol=1e-6
        )


@pytest.mark.parametrize("noise", [0.2, 0.6])
def test_jitter_of_noisy_landmarks_halves_without_lag(noise):
    shape = render_face(SEED).landmarks()
    shape = (shape - shape.mean(axis=0)) * 180 / np.ptp(shape, axis=0).max()
    truth = transform(shape, motion(240))
    noisy = truth + np.random.default_rng(0).normal(0, noise, truth.shape)
    smooth = FaceFilter()
    filtered = np.stack([smooth.smooth(landmarks, i / CAMERA_FRAME_RATE) for i, landmarks in enumerate(noisy)])
    assert jitter(filtered, truth) < jitter(noisy, truth) / 2
    assert lag(filtered[72:], truth[72:]) < 0.5


def test_a_moving_lip_has_at_most_one_frame_of_lag():
    """The lip moves by itself, twice a second."""
    truth = np.repeat(render_face(SEED).landmarks()[None], 90, axis=0)
    side = np.ptp(truth[0], axis=0).max()
    lip = slice(55, 60)
    truth[:, lip, 1] += 0.08 * side * (1 - np.cos(2 * np.pi * 2 * np.arange(90) / 30))[:, None]
    smooth = FaceFilter()
    filtered = np.stack([smooth.smooth(landmarks, i / 30) for i, landmarks in enumerate(truth)])
    assert lag(filtered[:, lip], truth[:, lip]) <= 1
    assert np.abs(filtered - truth)[:, 27].max() < 0.01 * side  # the nose stays where it is


def test_lag_and_jitter_by_hand():
    truth = motion(60)[:, None, :, 2]  # (frames, 1, 2)
    late = np.concatenate([truth[:1], truth[:1], truth[:-2]])
    assert lag(late + 3.0, truth) == pytest.approx(2)
    wobble = np.zeros((4, 1, 2))
    wobble[1, 0, 0] = 1  # second differences -2 and 1
    assert jitter(wobble, np.zeros_like(wobble)) == pytest.approx(np.sqrt((4 + 1) / 2))


# --------------------------------------------------------------------------------------------------------------------
# The tracker
# --------------------------------------------------------------------------------------------------------------------


@pytest.mark.integration
def test_a_clip_of_known_motion(clip):
    """Jitter falls by half or more, and the lag is below one frame."""
    frames, truth, predictor = clip
    plain, smoothed = (track(predictor, frames, smooth) for smooth in (False, True))
    rest = slice(27)
    assert jitter(smoothed[rest], truth[rest]) < jitter(plain[rest], truth[rest]) / 3
    assert jitter(smoothed, truth) < jitter(plain, truth) / 2
    assert abs(lag(plain[27:], truth[27:])) < 0.2 and lag(smoothed[27:], truth[27:]) < 1
    assert np.linalg.norm(plain - truth, axis=-1).mean() < 1.5


class FixedDetector:
    """A detector with a fixed result for each call, the last one for all later calls."""

    def __init__(self, *results):
        self.results, self.calls = results, 0

    def detect(self, image, points, name=""):
        self.calls += 1
        return self.results[min(self.calls, len(self.results)) - 1]


class SquarePredictor:
    """A predictor of bright squares: landmarks are the corners, confidence is the brightness."""

    layout = LAYOUT_68

    def __init__(self, detector):
        self.detector = detector

    def detect(self, image, name=""):
        return self.detector.detect(image, 4)

    def predict_boxes(self, images, found, passes=2):
        return [[self._face(images[0], face) for face in found[0]]]

    def _face(self, image, face):
        left, top, right, bottom = (face.box + [-6, -6, 6, 6]).round().astype(int).clip(0)
        part = image[top:bottom, left:right, 0]
        if not part.any():
            return Face(face.region, face.box, face.score, np.full(4, 0.05))
        y, x = np.nonzero(part)
        box = np.array([x.min() + left, y.min() + top, x.max() + left, y.max() + top], np.float64)
        corners = box[[0, 1, 2, 1, 2, 3, 0, 3]].reshape(4, 2)
        return Face(corners, face.box, face.score, np.full(4, part.max() / 255))


def squares(*corners, size=(200, 300)):
    """A frame with bright squares of 30 px at these corners."""
    frame = np.zeros((*size, 3), np.uint8)
    for x, y in corners:
        frame[max(y, 0) : y + 31, max(x, 0) : x + 31] = 255
    return frame


def found(x, y):
    return Detection(np.array([x, y, x + 30, y + 30], np.float64), 1.0)


def test_a_face_is_tracked_without_the_detector():
    detector = FixedDetector([found(20, 50)])
    tracker = FaceTracker(SquarePredictor(detector), smooth=False)
    for step in range(25):
        (face,) = tracker.update(squares((20 + 5 * step, 50)), step / 30)
        assert face.track == 0 and landmark_box(face.landmarks)[0] == 20 + 5 * step
    assert detector.calls == 1


def test_a_lost_face_keeps_its_number_if_the_detector_finds_it_at_once():
    class FailsOnce(SquarePredictor):
        """Has no confidence in the second frame of a track, only in the detector's boxes."""

        followed = 0

        def predict_boxes(self, images, found, passes=2):
            self.followed += passes == 1
            (faces,) = super().predict_boxes(images, found, passes)
            if passes == 1 and self.followed == 2:
                faces = [dataclasses.replace(face, confidence=np.full(4, 0.05)) for face in faces]
            return [faces]

    tracker = FaceTracker(FailsOnce(FixedDetector([found(20, 50)], [found(150, 50), found(22, 50)])), smooth=False)
    assert tracker.update(squares((20, 50)), 0)[0].track == 0
    faces = tracker.update(squares((150, 50), (22, 50)), 1 / 30)  # another face comes at the same time
    assert tracker.predictor.detector.calls == 2
    assert {landmark_box(face.landmarks)[0]: face.track for face in faces} == {22: 0, 150: 1}


def test_a_scene_cut_starts_new_tracks():
    tracker = FaceTracker(SquarePredictor(FixedDetector([found(20, 50)], [], [found(200, 100)])), smooth=True)
    assert [face.track for face in tracker.update(squares((20, 50)), 0.0)] == [0]
    assert tracker.update(squares(), 1 / 30) == []  # nothing there
    assert [face.track for face in tracker.update(squares((200, 100)), 2 / 30)] == [1]
    assert tracker.predictor.detector.calls == 3


def test_new_faces_are_detected_and_leaving_ones_dropped():
    both = [found(20, 50), found(200, 100)]
    tracker = FaceTracker(SquarePredictor(FixedDetector([found(20, 50)], both)), smooth=False)
    for step in range(TRACKING.detection_interval):
        assert len(tracker.update(squares((20, 50), (200, 100)), step / 30)) == 1
    assert sorted(face.track for face in tracker.update(squares((20, 50), (200, 100)), 1.0)) == [0, 1]
    tracker.predictor.detector = FixedDetector([])
    for step in range(20):  # the second leaves to the right
        faces = tracker.update(squares((20, 50), (200 + 6 * step, 100)), 1 + step / 30)
    assert [face.track for face in faces] == [0]


def test_two_tracks_do_not_stay_on_one_face():
    tracker = FaceTracker(SquarePredictor(FixedDetector([found(20, 50), found(60, 50)], [])), smooth=False)
    assert len(tracker.update(squares((20, 50), (60, 50)), 0.0)) == 2
    for face in tracker._tracks:  # both now have the same box
        face.face = Face(found(20, 50).region, found(20, 50).box, 1.0, None)
    assert len(tracker.update(squares((20, 50)), 1 / 30)) == 1


# --------------------------------------------------------------------------------------------------------------------
# Files
# --------------------------------------------------------------------------------------------------------------------


def write_clip(path, count=24, codec="MJPG"):
    """A small video of a drifting face."""
    face = cv2.cvtColor(data.astronaut()[40:200, 140:310], cv2.COLOR_RGB2BGR)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), 12.5, (170, 160))
    for number in range(count):
        writer.write(np.roll(face, number, axis=1))
    writer.release()
    return path


def test_frames_are_read_as_written(tmp_path):
    frames = [np.full((48, 64, 3), level, np.uint8) for level in (20, 90, 160)]
    with VideoWriter(tmp_path / "x.mp4", 10.0) as writer:
        for frame in frames:
            writer.write(frame)
        with pytest.raises(ValueError, match=r"\(10, 10\).*\(64, 48\)"):
            writer.write(np.zeros((10, 10, 3), np.uint8))
    with Video(str(tmp_path / "x.mp4")) as video:
        assert (video.rate, video.count, video.is_camera) == (10.0, 3, False)
        read = list(video.frames())
        video.check_complete()
    assert [seconds for seconds, _ in read] == [0, 0.1, 0.2]
    for (_, frame), expected in zip(read, frames, strict=True):
        assert np.abs(frame.astype(int) - expected).max() < 6


def test_a_truncated_video_yields_its_frames(tmp_path):
    complete = write_clip(tmp_path / "complete.avi", 60)
    cut = tmp_path / "cut.avi"
    cut.write_bytes(complete.read_bytes()[: complete.stat().st_size // 2])
    with Video(str(cut)) as video:
        frames = list(video.frames())
        assert 5 < len(frames) < 50
        with pytest.raises(ValueError, match="ends early"):
            video.check_complete()
    with Video(str(cut)) as video:
        assert len(list(video.frames(5))) == 5
        video.check_complete(5)  # no more were requested


def test_invalid_videos(tmp_path):
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(ValueError, match="not a readable video"):
        Video(str(tmp_path / "text.mp4"))
    with pytest.raises(FileNotFoundError):
        Video(str(tmp_path / "none.mp4"))
    with pytest.raises(OSError, match="camera"):
        Video("camera:99")
    with pytest.raises(ValueError, match="camera:1"):
        Video("camera:front")


@pytest.fixture
def confident_weights(weights, tmp_path):
    """Weights whose confidence is high everywhere, so that no track is lost."""
    for suffix in (".keras", ".json"):
        (tmp_path / f"sure{suffix}").write_bytes(weights.with_suffix(suffix).read_bytes())
    write_json(tmp_path / "sure.confidence.json", {"error": 5.0, "slope": -1.0, "offsets": [50.0] * 68})
    return tmp_path / "sure.keras"


@pytest.mark.integration
def test_videos_and_pictures_from_the_command_line(confident_weights, tmp_path, capsys):
    folder = tmp_path / "in"
    folder.mkdir()
    write_clip(folder / "b.avi", 6)
    cv2.imwrite(str(folder / "c.png"), data.astronaut()[:, :, ::-1])
    complete = write_clip(tmp_path / "long.avi", 60)
    (folder / "a_cut.avi").write_bytes(complete.read_bytes()[: complete.stat().st_size // 2])
    (folder / "d.mp4").write_text("no video")
    words = [str(folder), "--out", str(tmp_path / "out"), "--weights", str(confident_weights)]
    assert predict.main([*words, "--detector", "none"]) == 1
    printed = capsys.readouterr().err
    assert "a_cut.avi ends early" in printed and "d.mp4 is not a readable video" in printed
    entries = json.loads((tmp_path / "out/landmarks.json").read_text())
    order = list(dict.fromkeys(entry["image"] for entry in entries))
    assert [name.rsplit("/", 1)[1] for name in order] == ["a_cut.avi", "b.avi", "c.png"]
    of_b = [entry for entry in entries if entry["image"].endswith("b.avi")]
    assert [entry["frame"] for entry in of_b] == list(range(6))
    assert all(entry["faces"][0]["track"] == 0 for entry in of_b)
    with Video(str(tmp_path / "out/drawn/b.mp4")) as video:
        assert video.count == 6 and video.rate == pytest.approx(12.5)
    assert {path.name for path in (tmp_path / "out/drawn").iterdir()} == {"a_cut.mp4", "b.mp4", "c.jpg"}


def test_frames_and_no_smoothing(confident_weights, tmp_path):
    clip = write_clip(tmp_path / "x.avi", 8)
    words = [str(clip), "--out", str(tmp_path), "--weights", str(confident_weights), "--detector", "none"]
    results = []
    for more in ([], ["--no-smoothing"]):
        assert predict.main([*words, "--frames", "5", *more]) == 0
        results.append(json.loads((tmp_path / "landmarks.json").read_text()))
    assert len(results[0]) == 5 and results[0][0] == results[1][0] and results[0][4] != results[1][4]


@pytest.mark.parametrize("frames", ["0", "-3", "many"])
def test_a_wrong_number_of_frames(frames, capsys):
    with pytest.raises(SystemExit) as ended:
        predict.main(["x.avi", "--out", "out", f"--frames={frames}"])
    assert ended.value.code == 2 and "1 or more" in capsys.readouterr().err


def test_a_video_without_frames_and_boxes_for_a_video(confident_weights, tmp_path, capsys, monkeypatch):
    clip = write_clip(tmp_path / "x.avi", 8)
    words = [str(clip), "--out", str(tmp_path / "out"), "--weights", str(confident_weights)]
    write_json(tmp_path / "boxes.json", [{"image": str(clip), "faces": [{"box": [1, 2, 30, 40]}]}])
    assert predict.main([*words, "--detector", str(tmp_path / "boxes.json")]) == 1
    assert "x.avi is a video. Received boxes from a file" in capsys.readouterr().err
    monkeypatch.setattr(Video, "frames", lambda self, max_frames: iter(()))
    assert predict.main(words) == 1
    assert "x.avi ends early. Received 0 frames" in capsys.readouterr().err
    assert not list((tmp_path / "out").rglob("*.*"))


def test_interrupted_before_the_first_result(confident_weights, tmp_path, monkeypatch, capsys):
    def interrupted(self, frame, seconds):
        raise KeyboardInterrupt

    monkeypatch.setattr(FaceTracker, "update", interrupted)
    (tmp_path / "landmarks.json").write_text("old")
    clip = write_clip(tmp_path / "x.avi", 8)
    assert predict.main([str(clip), "--out", str(tmp_path), "--weights", str(confident_weights)]) == 130
    assert (tmp_path / "landmarks.json").read_text() == "old" and not list(tmp_path.rglob("*.mp4"))
    assert "interrupted" in capsys.readouterr().err


def test_interrupted_results_are_kept(confident_weights, tmp_path, monkeypatch, capsys):
    clip = write_clip(tmp_path / "x.avi", 8)
    update, times = FaceTracker.update, []

    def interrupted(self, frame, seconds):
        times.append(seconds)
        if len(times) == 4:
            raise KeyboardInterrupt
        return update(self, frame, seconds)

    monkeypatch.setattr(FaceTracker, "update", interrupted)
    words = [str(clip), str(clip), "--out", str(tmp_path / "out"), "--weights", str(confident_weights)]
    assert predict.main(words) == 130
    assert len(json.loads((tmp_path / "out/landmarks.json").read_text())) == 3
    with Video(str(tmp_path / "out/drawn/x.mp4")) as video:
        assert video.count == 3
    assert "kept" in capsys.readouterr().err
