"""A web page for trying a network: upload a picture or take one, and see its landmarks.

    python -m inference.web_demo            # make demo sets everything up first; needs requirements-demo.txt

The page is served to this machine alone (127.0.0.1). Pictures are limited in bytes and pixels. What the page receives
and draws lies in memory where the system has a folder for that (Linux), else in a temporary folder; the files are
deleted after a minute, and the folder with the program's end.
"""

import argparse
import functools
import html
import os
import signal
import sys
import tempfile
import types
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from config import EXPORT_SUFFIXES, RUNS_DIR, WEIGHTS_DIR
from inference.config import CONFIDENT_ERROR
from inference.face_detector import DETECTORS, get_detector
from inference.overlay import draw_faces
from inference.predictor import UNKNOWN, Face, Predictor, best_weights, get_rank
from networks.weights import LEGACY_SUFFIXES
from utils.image_files import read_untrusted_image
from utils.optional_packages import import_package

DEMO_PORT = 7860
DEMO_BYTES = 20_000_000  # of an upload
DEMO_PIXELS = 40_000_000  # of its picture
DEMO_KEPT_SECONDS = 60  # until an upload is deleted
HOST = "127.0.0.1"
WEIGHTS_SUFFIXES = {".keras", *LEGACY_SUFFIXES, *EXPORT_SUFFIXES.values()}
WEIGHTS_FOLDERS = (WEIGHTS_DIR, RUNS_DIR)
MEMORY = "/dev/shm"  # Linux's folder that lies in memory
ROWS = ["landmark", "x", "y", "confidence"]


def find_demo_weights(given: str | None, folders: Sequence[str | os.PathLike] = WEIGHTS_FOLDERS) -> list[str]:
    """The weights that can be chosen: what was given, then those of pre_trained_models/ and of runs/, best ones first.

    Those that do not tell how good they are come last.

    Raises:
        FileNotFoundError: there are none.
    """
    ranked = [
        (get_rank(file) == UNKNOWN, folder, get_rank(file), file)
        for folder in folders
        for file in Path(folder).rglob("*")
        if file.suffix in WEIGHTS_SUFFIXES
    ]
    files = [given] if given else []
    files += [str(file) for *_, file in sorted(ranked)]
    return list(dict.fromkeys(files)) or [str(best_weights(folders[0]))]


@functools.lru_cache(maxsize=2)
def get_predictor(weights: str, detector: str) -> Predictor:
    """The predictor of a weights file and a detector, kept for the next picture."""
    return Predictor(weights, get_detector(detector))


def predict_picture(
    path: str | None, weights: str, detector: str, contours: bool = False
) -> tuple[np.ndarray | None, str, list[list]]:
    """What the page shows of a picture: the drawing, a line for each face, and the table of landmarks.

    Args:
        contours: draw anchors and contours, the network's or splines through its landmarks, in the landmarks' place.

    Raises:
        OSError, ValueError: no picture, one that cannot be read or is too large, or weights that cannot be read.
    """
    if path is None:
        raise ValueError("Choose a picture first")
    image = read_untrusted_image(path, DEMO_PIXELS)
    predictor = get_predictor(weights, detector)
    faces = predictor.predict(image)
    if contours:
        faces = predictor.outlined(faces)
    return draw_faces(image, faces, predictor.layout), describe(faces), table(faces)


def describe(faces: Sequence[Face]) -> str:
    """A line for each face, as Markdown."""
    if not faces:
        return "No face found. If the picture shows one face and little else, choose *none*."
    lines = [f"**{len(faces)} face{'s' if len(faces) > 1 else ''}**, numbered from the largest"]
    for number, face in enumerate(faces):
        left, top, right, bottom = face.box.round().astype(int).tolist()
        sure = "" if face.confidence is None else f", mean confidence {face.confidence.mean():.2f}"
        lines.append(
            f"{number}. {len(face.landmarks)} landmarks, box {left}, {top} to {right}, {bottom}, "
            f"score {face.score:.2f}{sure}"
        )
    return "\n\n".join(lines)


def table(faces: Sequence[Face]) -> list[list]:
    """Rows of face and landmark, x, y, confidence."""
    rows = []
    for number, face in enumerate(faces):
        confidence = [""] * len(face.landmarks) if face.confidence is None else face.confidence.round(2).tolist()
        for index, ((x, y), sure) in enumerate(zip(face.landmarks, confidence, strict=True)):
            rows.append([f"{number}.{index}", round(float(x), 1), round(float(y), 1), sure])
    return rows


def build_page(gr: types.ModuleType, weights: Sequence[str]):
    """The page, a Blocks of gradio, which is given; the first of `weights` is chosen at first."""

    def show(path, chosen, detector, contours):
        try:
            return predict_picture(path, chosen, detector, contours)
        except (
            OSError,
            ValueError,
            ImportError,
        ) as error:  # gradio shows only its own kind to the user
            message = str(error).replace(str(path), "The picture")
            raise gr.Error(html.escape(message), print_exception=False) from error

    with gr.Blocks(title="Face landmarks", delete_cache=(DEMO_KEPT_SECONDS, DEMO_KEPT_SECONDS)) as page:
        gr.Markdown(
            "# Face landmarks\nLines are contours. Dots are landmarks: yellow where the network is sure, dark violet "
            "where it is not. Confidence is the probability of an error of at most "
            f"{CONFIDENT_ERROR:g} % of what the network's data set counts errors in, mostly the distance between the "
            "outer corners of the eyes. Nothing leaves this machine or is kept."
        )
        with gr.Row():
            with gr.Column():
                picture = gr.Image(
                    label="Picture",
                    type="filepath",
                    image_mode=None,
                    sources=["upload", "webcam", "clipboard"],
                    elem_id="picture",
                )
                chosen = gr.Dropdown(list(weights), value=weights[0], label="Weights")
                detector = gr.Radio(list(DETECTORS), value=next(iter(DETECTORS)), label="Detector")
                contours = gr.Checkbox(label="Anchors and contours", elem_id="contours")
                button = gr.Button("Find landmarks", variant="primary", elem_id="find")
                example = gr.Button("Example picture", elem_id="example")
            with gr.Column():
                drawn = gr.Image(
                    label="Landmarks",
                    type="numpy",
                    format="png",
                    interactive=False,
                    elem_id="drawn",
                    buttons=["download", "fullscreen"],
                )
                told = gr.Markdown(elem_id="told")
                numbers = gr.Dataframe(headers=ROWS, interactive=False, max_height=300, elem_id="numbers")
        outputs = [drawn, told, numbers]
        button.click(show, [picture, chosen, detector, contours], outputs, api_visibility="private")
        example.click(example_picture, None, picture, api_visibility="private")
    return page


def example_picture() -> np.ndarray:
    """A photograph of the astronaut Eileen Collins (NASA, public domain), which scikit-image brings along."""
    return import_package("skimage.data", "the example picture", "requirements-demo.txt").astronaut()


def launch(weights: Sequence[str], port: int, block: bool = True):
    """Serves the page until it is stopped; with block=False it returns the gradio.Blocks at once."""
    gr = import_package("gradio", "the web page", "requirements-demo.txt")
    page = build_page(gr, weights)
    page.queue(default_concurrency_limit=1, max_size=8)  # one network, one picture after the other
    page.launch(
        server_name=HOST,
        server_port=port,
        share=False,
        max_file_size=DEMO_BYTES,
        theme=gr.themes.Default(font="sans-serif", font_mono="monospace"),  # no fonts from elsewhere
        footer_links=[],
        quiet=not block,
        prevent_thread_lock=not block,
    )
    return page


def private_folder() -> tempfile.TemporaryDirectory:
    """A folder for the page's files that goes with the program, in memory where the system can."""
    memory = MEMORY if os.access(MEMORY, os.W_OK) else None
    folder = tempfile.TemporaryDirectory(prefix="web_demo.", dir=memory)
    os.environ["GRADIO_TEMP_DIR"] = folder.name
    return folder


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(description="A web page on this machine for trying a network.")
    parser.add_argument("--weights", help="chosen at first; others are offered from pre_trained_models/ and runs/")
    parser.add_argument("--port", type=int, default=DEMO_PORT, help="of 127.0.0.1 (default: %(default)s)")
    options = parser.parse_args(arguments)
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that the folder goes then too
    try:
        with private_folder():
            weights = find_demo_weights(options.weights)
            if options.weights:
                get_predictor(weights[0], next(iter(DETECTORS)))  # an unreadable file shows here, others on the page
            launch(weights, options.port)
    except KeyboardInterrupt:
        return 130
    except (ValueError, OSError, ImportError) as error:
        print(f"inference/web_demo.py: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
