"""Where the time of a picture goes on the path that predict.py takes: from decoding to drawing, stage by stage."""

import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import cv2
from tqdm import tqdm

from benchmarks.training_speed import program_memory
from inference.overlay import draw_faces
from inference.predictor import Predictor
from utils.image_files import read_untrusted_image, write_image

STEPS = {"crop": "crop", "predict": "forward", "map back": "map_back"}  # stage -> method of Predictor
STAGES = ("decode", "detect", "crop", "predict", "map back", "draw")
SIZES = ((640, 480), (4000, 3000))  # width and height in pixels: a camera's frame, and 12 MP


class Stopwatch:
    """Milliseconds spent in functions, added up by stage."""

    def __init__(self):
        self.spent: Counter[str] = Counter()

    def timed(self, stage: str, function: Callable) -> Callable:
        """The function, whose calls are counted to the stage."""

        def call(*arguments, **options):
            started = time.perf_counter()
            result = function(*arguments, **options)
            self.spent[stage] += 1000 * (time.perf_counter() - started)
            return result

        return call


def resized_pictures(picture: str | Path, folder: Path) -> dict[str, Path]:
    """A picture as JPEG files of SIZES, the ratio of its sides kept and its edge repeated: "640 x 480" -> file."""
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


def stage_times(weights: str | Path, pictures: dict[str, Path], rounds: int) -> tuple[dict, dict[str, int]]:
    """Milliseconds of every stage; the pictures take turns.

    Returns:
        picture -> stage -> (rounds,), "crop" to "map back" for all passes and copies of all faces together, with "all"
        for the whole path; and picture -> number of faces.

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
    for number in tqdm(range(-1, rounds), desc="stages", unit="round", disable=None):
        for name, path in pictures.items():
            watch.spent.clear()
            started = time.perf_counter()
            image = decode(path)
            (faces,) = predictor.predict_boxes([image], [detect(image)])
            draw(image, faces, predictor.layout)
            watch.spent["all"] = 1000 * (time.perf_counter() - started)
            if not faces:
                raise ValueError(f"no face was found in the picture at {name} pixels; another picture is right")
            counts[name] = len(faces)
            if number >= 0:  # the round before traces, and fills caches
                for stage, values in times[name].items():
                    values.append(watch.spent[stage])
    return times, counts


_ONE_PICTURE = """
import sys
from inference.predictor import Predictor
from inference.network import load_network
threads, weights, picture = sys.argv[1:]
Predictor(load_network(weights, int(threads))).predict(picture)
"""


def picture_memory(weights: str | Path, pictures: dict[str, Path], threads: int) -> dict[str, float]:
    """The most memory of a process that predicts one picture and nothing else, in MiB. Linux only."""
    weights = Path(weights).resolve()
    return {name: program_memory(_ONE_PICTURE, threads, weights, path) for name, path in pictures.items()}
