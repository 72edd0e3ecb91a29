"""Milliseconds of each stage of predict.py, from decoding a picture to drawing on it, for inference_speed.py."""

import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import cv2
from tqdm import tqdm

from benchmarks.timing import program_memory
from inference.overlay import draw_faces
from inference.predictor import Predictor
from utils.image_files import read_untrusted_image, write_image

STEPS = {"crop": "crop", "predict": "forward", "map back": "map_back"}  # stage -> method of Predictor
STAGES = ("decode", "detect", "crop", "predict", "map back", "draw")
SIZES = ((640, 480), (4000, 3000))  # width and height in pixels: a camera's frame, and 12 megapixels


class Stopwatch:
    """Milliseconds spent in functions, added up by stage.

    Args:
        now: clock; returns seconds.

    Attributes:
        spent: stage -> milliseconds.
    """

    def __init__(self, now: Callable[[], float] = time.perf_counter):
        self.spent: Counter[str] = Counter()
        self._now = now

    def timed(self, stage: str, function: Callable) -> Callable:
        """Return the function, its calls counted to the stage."""

        def call(*arguments, **options):
            started = self._now()
            result = function(*arguments, **options)
            self.spent[stage] += 1000 * (self._now() - started)
            return result

        return call


def resized_pictures(picture: str | Path, folder: Path) -> dict[str, Path]:
    """Write a picture as JPEG files of SIZES, with the same aspect ratio and its edge repeated.

    Returns:
        a name like "640 x 480" -> file.
    """
    image, files = read_untrusted_image(picture), {}
    for width, height in SIZES:
        factor = min(width / image.shape[1], height / image.shape[0])
        interpolation = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
        resized = cv2.resize(image, None, fx=factor, fy=factor, interpolation=interpolation)[:height, :width]
        below, beside = height - resized.shape[0], width - resized.shape[1]
        resized = cv2.copyMakeBorder(resized, 0, below, 0, beside, cv2.BORDER_REPLICATE)
        files[f"{width} x {height}"] = folder / f"{width}x{height}.jpg"
        write_image(files[f"{width} x {height}"], resized)
    return files


def stage_times(weights: str | Path, pictures: dict[str, Path], repeats: int) -> tuple[dict, dict[str, int]]:
    """Return the milliseconds of every stage; the pictures take turns.

    Args:
        weights: file of weights.
        pictures: name -> file.
        repeats: timed predictions of each picture, after one to warm up.

    Returns:
        picture -> stage -> (repeats,), where "crop" to "map back" sum all passes and views of all faces, and "all" is
        the complete path; and picture -> number of faces.

    Raises:
        ValueError: no face is found in a picture.
    """
    predictor, watch = Predictor(weights), Stopwatch()
    decode, detect = watch.timed("decode", read_untrusted_image), watch.timed("detect", predictor.detect)
    draw = watch.timed("draw", draw_faces)
    for stage, step in STEPS.items():
        setattr(predictor, step, watch.timed(stage, getattr(predictor, step)))
    times: dict = {name: {stage: [] for stage in (*STAGES, "all")} for name in pictures}
    counts = {}
    for number in tqdm(range(-1, repeats), desc="stages", unit="block", disable=None):
        for name, path in pictures.items():
            watch.spent.clear()
            started = time.perf_counter()
            image = decode(path)
            (faces,) = predictor.predict_boxes([image], [detect(image)])
            draw(image, faces, predictor.layout)
            watch.spent["all"] = 1000 * (time.perf_counter() - started)
            if not faces:
                raise ValueError(f"no face was found in the picture at {name} pixels; choose another picture")
            counts[name] = len(faces)
            if number >= 0:  # the first one traces, and fills caches
                for stage, values in times[name].items():
                    values.append(watch.spent[stage])
    return times, counts


_ONE_PICTURE = """
import sys
from inference.network import load_network
from inference.predictor import Predictor
threads, weights, picture = sys.argv[1:]
Predictor(load_network(weights, int(threads))).predict(picture)
"""


def picture_memory(weights: str | Path, pictures: dict[str, Path], threads: int) -> dict[str, float]:
    """Return the peak memory of a process that only predicts one picture, in MiB, for each picture. Linux only."""
    weights = Path(weights).resolve()
    return {name: program_memory(_ONE_PICTURE, threads, weights, path.resolve()) for name, path in pictures.items()}
