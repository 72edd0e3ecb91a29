"""Landmarks on your own pictures and videos.

    python predict.py photo.jpg holiday/ clip.mp4 --out results/mine --weights runs/acr/best.keras
    python predict.py camera --out results/camera
    python predict.py crops/ --out results/crops --detector none
    python predict.py photo.jpg --out results/contours --contours

The output folder then has landmarks.json (or .csv), and in drawn/ a picture of every picture and a video of every
video. A camera runs until Ctrl-C. The exit status is 0 if all inputs succeeded, 1 if an input failed (the others are
processed), 2 for a wrong command line, 130 after an interruption. If no input can be read, an older landmarks.json is
kept. In Python: Predictor("runs/acr/best.keras").predict("photo.jpg").
"""

import argparse
import errno
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from ace_net.outlines import get_contour_map
from inference.config import CAMERA
from inference.face_detector import DETECTORS, BoxesFromFile, Detection, get_detector
from inference.face_tracker import FaceTracker
from inference.overlay import draw_faces
from inference.predictor import Face, Predictor
from inference.result_files import FORMATS, ResultFile
from inference.video_files import Video, VideoWriter
from utils import cli
from utils.files import atomic_write
from utils.image_files import read_untrusted_image, write_image

__all__ = ["Face", "Predictor", "main"]

PROGRAM = "predict.py"
PICTURE_BATCH = 4  # pictures in memory at once
PICTURE_SUFFIXES = (".jpg", ".jpeg", ".jpe", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".jp2", ".avif")
VIDEO_SUFFIXES = (".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg")
FFMPEG_QUIET = "-8"
INPUT_ERRORS = (OSError, ValueError, cv2.error)  # errors of one input; the others are processed


class Job:
    """Prediction on a list of inputs: writes results and drawings in the order of the inputs, and reports errors.

    Args:
        predictor: detects faces and predicts landmarks.
        out: folder of the drawings.
        smooth: whether to filter the landmarks of videos.
        max_frames: number of frames after which a video stops, or None.
        contours: whether to add anchors and contours; default: False.

    Attributes:
        failed, pictures, videos, faces, entries: numbers of failed inputs, processed pictures, processed videos, faces
            on pictures, and written results.
        interrupted: whether Ctrl-C ended the job.
    """

    def __init__(self, predictor: Predictor, out: Path, smooth: bool, max_frames: int | None, contours: bool = False):
        self.predictor, self.out, self.smooth, self.max_frames = predictor, out, smooth, max_frames
        self.add_outlines = predictor.add_outlines if contours else list
        self.failed = self.pictures = self.videos = self.faces = self.entries = 0
        self.interrupted = False
        self._drawn: set[str] = set()  # names of drawn files

    def run(self, inputs: Sequence[str], results: ResultFile) -> None:
        """Process all inputs; after Ctrl-C, keep the finished ones."""
        files = list(find_files(inputs))
        with tqdm(total=len(files), unit="file", disable=None) as bar, ThreadPoolExecutor(PICTURE_BATCH) as pool:
            try:
                for group in _group_files(files):
                    if is_video(group[0]):
                        self._process_video(group[0], results)
                    else:
                        self._process_pictures(group, pool, results)
                    bar.update(len(group))
            except KeyboardInterrupt:
                self.interrupted = True

    def _process_pictures(self, names: list[str], pool: ThreadPoolExecutor, results: ResultFile) -> None:
        """Process a few pictures; their faces are predicted as one batch."""
        detected = []
        for name, picture in zip(names, pool.map(_read, names), strict=True):
            try:
                if isinstance(picture, Exception):
                    raise picture
                detected.append((name, picture, self.predictor.detect(picture, name)))
            except INPUT_ERRORS as problem:
                self._fail(name, problem)
        for name, picture, faces in self._predict(detected):
            try:
                faces = self.add_outlines(faces)
                results.write(name, faces)
                self.entries += 1
                write_image(self._drawn_path(name, ".jpg"), draw_faces(picture, faces, self.predictor.layout))
            except INPUT_ERRORS as problem:
                self._fail(name, problem)
                continue
            self.pictures += 1
            self.faces += len(faces)
            if not faces:
                tqdm.write(f"{PROGRAM}: {name}: no face found", file=sys.stderr)

    def _predict(
        self, detected: list[tuple[str, np.ndarray, list[Detection]]]
    ) -> list[tuple[str, np.ndarray, list[Face]]]:
        """Return names and pictures with the predicted faces; if the batch fails, picture by picture."""
        names, pictures, detections = zip(*detected, strict=True) if detected else ((), (), ())
        try:
            predicted = self.predictor.predict_boxes(pictures, detections)
        except INPUT_ERRORS as problem:
            if len(detected) > 1:
                return [result for picture in detected for result in self._predict([picture])]
            self._fail(names[0], problem)
            return []
        return list(zip(names, pictures, predicted, strict=True))

    def _process_video(self, name: str, results: ResultFile) -> None:
        """Process a video or a camera; its faces are tracked from frame to frame."""
        try:
            if isinstance(self.predictor.detector, BoxesFromFile):
                raise ValueError(f"{name} is a video. Received boxes from a file, which are for pictures only")
            if not self.predictor.network.codec.complete:
                raise ValueError(
                    f"{name} is a video. Received weights that predict contours, which are for pictures only"
                )
            with Video(name) as video:
                with atomic_write(self._drawn_path(name.replace(":", "_"), ".mp4")) as temporary:
                    self._write_video(video, temporary, results)
                video.check_complete(self.max_frames)
            self.videos += 1
        except INPUT_ERRORS as problem:
            self._fail(name, problem)
        if self.interrupted:
            raise KeyboardInterrupt

    def _write_video(self, video: Video, path: Path, results: ResultFile) -> None:
        """Write a video with its faces drawn, and their landmarks to the results."""
        tracker = FaceTracker(self.predictor, self.smooth)
        frames = video.frames(self.max_frames)
        with VideoWriter(path, video.rate) as writer:
            try:
                for number, (seconds, frame) in enumerate(
                    tqdm(frames, video.name, video.count, unit="frame", leave=False, disable=None)
                ):
                    faces = self.add_outlines(tracker.update(frame, seconds))
                    results.write(video.name, faces, number)
                    self.entries += 1
                    writer.write(draw_faces(frame, faces, self.predictor.layout))
            except KeyboardInterrupt:
                self.interrupted = not video.is_camera  # Ctrl-C is the usual end of a camera
        if not path.exists():  # no frame was written
            if self.interrupted:
                raise KeyboardInterrupt
            video.check_complete(self.max_frames)

    def _fail(self, name: str, problem: Exception) -> None:
        """Report the error of an input. A full disk affects all inputs: it is raised, and old files stay."""
        if isinstance(problem, OSError) and problem.errno == errno.ENOSPC:
            raise problem
        self.failed += 1
        text = " ".join(str(problem).split())
        tqdm.write(f"{PROGRAM}: {text if name in text else f'{name}: {text}'}", file=sys.stderr)

    def _drawn_path(self, name: str, suffix: str) -> Path:
        """Return the path of the drawing of an input; a second input of the same name gets a number."""
        stem, number = Path(name).stem, 1
        chosen = f"{stem}{suffix}"
        while chosen in self._drawn:
            number += 1
            chosen = f"{stem}_{number}{suffix}"
        self._drawn.add(chosen)
        return self.out / "drawn" / chosen


def find_files(inputs: Sequence[str]) -> list[str]:
    """Return the inputs in their order, folders replaced by their pictures and videos, sorted.

    A folder without pictures and videos, or one that may not be read, stays in the list; reading it raises the reason.
    """
    found = []
    for name in inputs:
        found += (_find_in_folder(name) if os.path.isdir(name) else []) or [name]
    return found


def _find_in_folder(folder: str) -> list[str]:
    """Return the pictures and videos of a folder and its subfolders without hidden ones, and unreadable subfolders."""
    unreadable: list[str] = []
    found = [
        os.path.join(parent, file)
        for parent, _, files in os.walk(folder, onerror=lambda problem: unreadable.append(problem.filename))
        if not any(part.startswith(".") for part in Path(parent).relative_to(folder).parts)
        for file in files
        if Path(file).suffix.lower() in PICTURE_SUFFIXES + VIDEO_SUFFIXES and not file.startswith(".")
    ]
    return sorted(found + unreadable)


def is_video(name: str) -> bool:
    """Whether an input is a video or a camera ("camera", or "camera:1" for the second one)."""
    return name.split(":")[0] == CAMERA or Path(name).suffix.lower() in VIDEO_SUFFIXES


def _group_files(files: list[str]) -> list[list[str]]:
    """Return the files in their order, successive pictures in groups of at most PICTURE_BATCH, each video alone."""
    groups: list[list[str]] = []
    for name in files:
        if groups and not is_video(name) and not is_video(groups[-1][0]) and len(groups[-1]) < PICTURE_BATCH:
            groups[-1].append(name)
        else:
            groups.append([name])
    return groups


def _read(name: str) -> np.ndarray | Exception:
    """Return a picture, or the error of reading it."""
    try:
        if os.path.isdir(name):
            os.listdir(name)  # raises if it may not be read
            kinds = ", ".join(PICTURE_SUFFIXES + VIDEO_SUFFIXES)
            raise ValueError(f"{name} is a folder without pictures and videos; expected files of {kinds}")
        return read_untrusted_image(name)
    except (OSError, ValueError) as problem:
        return problem


def positive(text: str) -> int:
    """Return an integer of the command line, 1 or more."""
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"expected 1 or more. Received {text!r}")
    return int(text)


def predict_files(options: argparse.Namespace, path: Path) -> int:
    """Process the inputs of the command line and write their landmarks to a file; return the exit status."""
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # errors of files are reported here, once
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", FFMPEG_QUIET)
    predictor = Predictor(options.weights, get_detector(options.detector))
    if not predictor.network.codec.complete and options.format != "json":
        raise ValueError(
            f"{predictor.network.path} predicts contours, which are written as JSON. Received --format "
            f"{options.format}; expected --format json"
        )
    if options.contours and predictor.network.codec.complete:
        get_contour_map(predictor.layout)  # raises for landmarks without contours
    job = Job(predictor, options.out, not options.no_smoothing, options.frames, options.contours)
    with atomic_write(path) as temporary:
        with FORMATS[options.format](temporary, predictor.network.points) as results:
            job.run(options.inputs, results)
        if not job.entries:
            if job.interrupted:
                raise KeyboardInterrupt
            raise ValueError(f"no input could be read; {path} is not written")
    print(
        f"{job.pictures} pictures with {job.faces} faces, {job.videos} videos; {job.failed} inputs failed. "
        f"Landmarks: {path}; drawings: {options.out / 'drawn'}"
    )
    if job.interrupted:
        print(f"{PROGRAM}: interrupted; finished results are kept", file=sys.stderr)
        return cli.INTERRUPTED
    return cli.FAILED if job.failed else 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    parser = argparse.ArgumentParser(description="Predict landmarks on your own pictures and videos.")
    add = parser.add_argument
    add("inputs", nargs="+", metavar="INPUT", help=f"pictures, folders, videos, {CAMERA} or {CAMERA}:NUMBER")
    add("--out", required=True, type=Path, help="folder of landmarks and drawings")
    add("--weights", help=".keras, .h5, .onnx or .tflite file; default: the best of pre_trained_models/")
    kinds = f"{', '.join(DETECTORS)} (every picture is one face), YuNet's .onnx, or, for pictures, a .json of boxes"
    add("--detector", default="cascade", help=f"face detector: {kinds}; default: %(default)s")
    add("--format", default="json", choices=sorted(FORMATS), help="file format of the landmarks; default: %(default)s")
    add("--frames", type=positive, help="number of frames after which a video or a camera stops; default: no limit")
    add("--no-smoothing", action="store_true", help="landmarks of videos without temporal filtering; default: filtered")
    add(
        "--contours",
        action="store_true",
        help="anchors and contours too: the network's, or splines through its landmarks; default: landmarks only",
    )
    options = parser.parse_args(arguments)
    if options.contours and options.format != "json":
        parser.error(f"--contours are written as JSON. Received --format {options.format}; expected --format json")
    path = options.out / f"landmarks.{options.format}"
    return cli.run(lambda: predict_files(options, path), PROGRAM, f"interrupted; {path} is not written")


if __name__ == "__main__":
    sys.exit(main())
