"""Landmarks on your own pictures and videos.

    python predict.py photo.jpg holiday/ clip.mp4 --out results/mine --weights runs/acr/best.keras
    python predict.py camera --out results/camera
    python predict.py crops/ --out results/crops --detector none
    python predict.py photo.jpg --out results/contours --contours

DIR then holds landmarks.json (or .csv), and in drawn/ a picture of every picture and a video of every video. A camera
runs until Ctrl-C. The exit status is 0 where all went well, 1 where some input failed (the others are done), 2 after
wrong usage, 130 when interrupted. Where no input could be read an older landmarks.json stays as it was. In Python:
Predictor("runs/acr/best.keras").predict("photo.jpg").
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
from inference.face_detector import DETECTORS, BoxesFromFile, get_detector
from inference.face_tracker import FaceTracker
from inference.overlay import draw_faces
from inference.predictor import Face, Predictor
from inference.result_files import FORMATS, ResultFile
from inference.video_files import Video, VideoWriter
from utils.files import atomic_write
from utils.image_files import read_untrusted_image, write_image

PICTURE_BATCH = 4  # pictures in memory at once
PICTURE_SUFFIXES = (".jpg", ".jpeg", ".jpe", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".jp2", ".avif")
VIDEO_SUFFIXES = (".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg")

__all__ = ["Face", "Predictor", "main"]

FFMPEG_QUIET = "-8"
PROBLEMS = (OSError, ValueError, cv2.error)  # of one input; the others are done


class Job:
    """Inputs in their order, their results written, their problems told and counted."""

    def __init__(self, predictor: Predictor, out: Path, smooth: bool, frames: int | None, contours: bool = False):
        self.predictor, self.out, self.smooth, self.frames = predictor, out, smooth, frames
        self.outlined = predictor.outlined if contours else list
        self.failed = self.pictures = self.videos = self.faces = self.entries = 0
        self.interrupted = False
        self._drawn: set[str] = set()  # names of drawn files

    def run(self, inputs: Sequence[str], results: ResultFile) -> None:
        """Does everything. Interrupted, it keeps what is done."""
        files = list(find_files(inputs))
        with tqdm(total=len(files), unit="file", disable=None) as bar, ThreadPoolExecutor(PICTURE_BATCH) as pool:
            try:
                for some in _together(files):
                    if is_video(some[0]):
                        self._follow(some[0], results)
                    else:
                        self._pictures(some, pool, results)
                    bar.update(len(some))
            except KeyboardInterrupt:
                self.interrupted = True

    def _pictures(self, names: list[str], pool: ThreadPoolExecutor, results: ResultFile) -> None:
        """A few pictures, whose faces go through the network together."""
        read = []
        for name, picture in zip(names, pool.map(_read, names), strict=True):
            try:
                if isinstance(picture, Exception):
                    raise picture
                read.append((name, picture, self.predictor.detect(picture, name)))
            except PROBLEMS as problem:
                self._fail(name, problem)
        for name, picture, faces in self._align(read):
            try:
                faces = self.outlined(faces)
                results.write(name, faces)
                self.entries += 1
                write_image(self._drawn_path(name, ".jpg"), draw_faces(picture, faces, self.predictor.layout))
            except PROBLEMS as problem:
                self._fail(name, problem)
                continue
            self.pictures += 1
            self.faces += len(faces)
            if not faces:
                tqdm.write(f"predict.py: {name}: no face found", file=sys.stderr)

    def _align(self, read: list[tuple[str, np.ndarray, list]]) -> list[tuple[str, np.ndarray, list[Face]]]:
        """Pictures with the faces found in them, aligned: together, or one by one where that fails."""
        try:
            aligned = self.predictor.predict_boxes([picture for _, picture, _ in read], [found for *_, found in read])
        except PROBLEMS as problem:
            if len(read) > 1:
                return [done for one in read for done in self._align([one])]
            self._fail(read[0][0], problem)
            return []
        return [(name, picture, faces) for (name, picture, _), faces in zip(read, aligned, strict=True)]

    def _follow(self, name: str, results: ResultFile) -> None:
        """A video or a camera: its faces are followed from frame to frame."""
        try:
            if isinstance(self.predictor.detector, BoxesFromFile):
                raise ValueError(f"{name} is a video. Received boxes from a file, which are for pictures only")
            if not self.predictor.network.codec.complete:
                raise ValueError(
                    f"{name} is a video. Received weights that predict contours, which are for pictures only"
                )
            with Video(name) as video:
                with atomic_write(self._drawn_path(name.replace(":", "_"), ".mp4")) as temporary:
                    self._write_video(name, video, temporary, results)
                video.check_complete(self.frames)
            self.videos += 1
        except PROBLEMS as problem:
            self._fail(name, problem)
        if self.interrupted:
            raise KeyboardInterrupt

    def _write_video(self, name: str, video: Video, path: Path, results: ResultFile) -> None:
        """Write a video with its faces drawn, and their landmarks to the results."""
        tracker = FaceTracker(self.predictor, self.smooth)
        with VideoWriter(path, video.rate) as writer:
            frames = tqdm(video.frames(self.frames), name, video.count, unit="frame", leave=False, disable=None)
            try:
                for number, (seconds, frame) in enumerate(frames):
                    faces = self.outlined(tracker.update(frame, seconds))
                    results.write(name, faces, number)
                    self.entries += 1
                    writer.write(draw_faces(frame, faces, self.predictor.layout))
            except KeyboardInterrupt:
                self.interrupted = not video.is_camera  # it ends a camera, which has no other end
        if not path.exists():  # no frame was written
            if self.interrupted:
                raise KeyboardInterrupt
            video.check_complete(self.frames)

    def _fail(self, name: str, problem: Exception) -> None:
        """Tells what is wrong with an input. A full disk is wrong with all: it ends the run, and old files stay."""
        if isinstance(problem, OSError) and problem.errno == errno.ENOSPC:
            raise problem
        self.failed += 1
        text = " ".join(str(problem).split())
        tqdm.write(f"predict.py: {text if name in text else f'{name}: {text}'}", file=sys.stderr)

    def _drawn_path(self, name: str, suffix: str) -> Path:
        """Where the drawing of an input goes; a second input of the same name gets a number."""
        stem, number = Path(name).stem, 1
        chosen = f"{stem}{suffix}"
        while chosen in self._drawn:
            number += 1
            chosen = f"{stem}_{number}{suffix}"
        self._drawn.add(chosen)
        return self.out / "drawn" / chosen


def find_files(inputs: Sequence[str]) -> list[str]:
    """The inputs in their order, with its pictures and videos, sorted, in place of a folder.

    A folder that holds none, or that may not be read, stays what it is; reading it as a picture tells why.
    """
    found = []
    for name in inputs:
        found += (_inside(name) if os.path.isdir(name) else []) or [name]
    return found


def _inside(folder: str) -> list[str]:
    """Pictures and videos of a folder and of those in it, sorted, hidden ones left out; and folders it may not read."""
    closed: list[str] = []
    inside = [
        os.path.join(where, file)
        for where, _, files in os.walk(folder, onerror=lambda problem: closed.append(problem.filename))
        if not any(part.startswith(".") for part in Path(where).relative_to(folder).parts)
        for file in files
        if Path(file).suffix.lower() in PICTURE_SUFFIXES + VIDEO_SUFFIXES and not file.startswith(".")
    ]
    return sorted(inside + closed)


def is_video(name: str) -> bool:
    """Whether an input is a video or a camera ("camera", or "camera:1" for the second one)."""
    return name.split(":")[0] == CAMERA or Path(name).suffix.lower() in VIDEO_SUFFIXES


def _together(files: list[str]) -> list[list[str]]:
    """The files in their order, neighbouring pictures in groups of at most PICTURE_BATCH, each video alone."""
    groups: list[list[str]] = []
    for name in files:
        if groups and not is_video(name) and not is_video(groups[-1][0]) and len(groups[-1]) < PICTURE_BATCH:
            groups[-1].append(name)
        else:
            groups.append([name])
    return groups


def _read(name: str) -> np.ndarray | Exception:
    """A picture, or why there is none."""
    try:
        if os.path.isdir(name):
            os.listdir(name)  # raises where it may not be read
            kinds = ", ".join(PICTURE_SUFFIXES + VIDEO_SUFFIXES)
            raise ValueError(f"{name} is a folder without pictures and videos. Looked for {kinds}")
        return read_untrusted_image(name)
    except (OSError, ValueError) as problem:
        return problem


def positive(text: str) -> int:
    """A whole number of the command line, 1 or more."""
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"1 or more is right. Received {text!r}")
    return int(text)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(description="Landmarks on your own pictures and videos.")
    add = parser.add_argument
    add("inputs", nargs="+", metavar="INPUT", help=f"pictures, folders, videos, {CAMERA} or {CAMERA}:NUMBER")
    add("--out", required=True, type=Path, help="folder for landmarks and drawings")
    add("--weights", help=".keras, .h5, .onnx or .tflite; default: the best in pre_trained_models/")
    kinds = f"{', '.join(DETECTORS)}, YuNet's .onnx, or, for pictures, a .json of boxes"
    add("--detector", default="cascade", help=kinds)
    add("--format", default="json", choices=sorted(FORMATS), help="of the landmarks (default: %(default)s)")
    add("--frames", type=positive, help="stop a video or a camera after so many frames")
    add("--no-smoothing", action="store_true", help="leave the landmarks of a video as the network gives them")
    add(
        "--contours", action="store_true", help="also anchors and contours: the network's, or splines through landmarks"
    )
    options = parser.parse_args(arguments)
    if options.contours and options.format != "json":
        parser.error("--contours are written as JSON; --format json is right")
    path = options.out / f"landmarks.{options.format}"
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # what is wrong with a file is told by us, once
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", FFMPEG_QUIET)
    try:
        predictor = Predictor(options.weights, get_detector(options.detector))
        if not predictor.network.codec.complete and options.format != "json":
            raise ValueError(
                f"{predictor.network.path} predicts contours, which are written as JSON; --format json is right"
            )
        if options.contours and predictor.network.codec.complete:
            get_contour_map(predictor.layout)
        job = Job(predictor, options.out, not options.no_smoothing, options.frames, options.contours)
        with atomic_write(path) as temporary:
            with FORMATS[options.format](temporary, predictor.network.points) as results:
                job.run(options.inputs, results)
            if job.interrupted and not job.entries:
                raise KeyboardInterrupt
            if not job.entries:
                raise ValueError(f"no input could be read; {path} is not written")
    except (ValueError, OSError, ImportError) as error:
        print(f"predict.py: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"predict.py: interrupted; {path} is not written", file=sys.stderr)
        return 130
    done = f"{job.pictures} pictures with {job.faces} faces, {job.videos} videos; {job.failed} inputs failed"
    print(f"{done}. {path} holds the landmarks, {options.out / 'drawn'} the drawings")
    if job.interrupted:
        print("predict.py: interrupted; what was done by then is kept", file=sys.stderr)
        return 130
    return 1 if job.failed else 0


if __name__ == "__main__":
    sys.exit(main())
