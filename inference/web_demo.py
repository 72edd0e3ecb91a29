"""A web page for trying a network: upload a picture or take one, and see its landmarks.

    python -m inference.web_demo            # `make demo` also installs requirements-demo.txt

The page is served to this machine only (127.0.0.1). Pictures are limited in bytes and pixels. Uploads and drawings are
kept in memory if the system has a folder for that (Linux), else in a temporary folder; files are deleted after a
minute, and the folder at the end of the program.
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
from inference.predictor import UNRANKED, Face, Predictor, best_weights, get_rank
from networks.weights import LEGACY_SUFFIXES
from utils import cli
from utils.image_files import read_untrusted_image
from utils.optional_packages import import_package

DEMO_PORT = 7860
DEMO_BYTES = 20_000_000  # maximum size of an upload
DEMO_PIXELS = 40_000_000  # maximum size of its picture
DEMO_SECONDS = 60  # until an upload is deleted
HOST = "127.0.0.1"
WEIGHTS_SUFFIXES = {".keras", *LEGACY_SUFFIXES, *EXPORT_SUFFIXES.values()}
WEIGHTS_FOLDERS = (WEIGHTS_DIR, RUNS_DIR)
MEMORY = "/dev/shm"  # Linux's folder in memory
COLUMNS = ["landmark", "x", "y", "confidence"]
DEFAULT_DETECTOR = next(iter(DETECTORS))


def find_demo_weights(given: str | None, folders: Sequence[str | os.PathLike] = WEIGHTS_FOLDERS) -> list[str]:
    """Return the weights that can be chosen: the given file, then those in the folders, best ones first.

    Weights without a validation NME come last.

    Args:
        given: a file of weights, or None.
        folders: searched with their subfolders; default: pre_trained_models/ and runs/.

    Raises:
        FileNotFoundError: there are none.
    """
    ranked = []
    for number, folder in enumerate(folders):
        for file in Path(folder).rglob("*"):
            if file.suffix in WEIGHTS_SUFFIXES:
                rank = get_rank(file)
                ranked.append((rank == UNRANKED, number, rank, file))
    files = [given] if given else []
    files += [str(file) for *_, file in sorted(ranked)]
    return list(dict.fromkeys(files)) or [str(best_weights(folders[0]))]


@functools.lru_cache(maxsize=2)
def get_predictor(weights: str, detector: str) -> Predictor:
    """Return the predictor of weights and a detector; it is kept for the next picture."""
    return Predictor(weights, get_detector(detector))


def predict_picture(
    path: str | None, weights: str, detector: str, contours: bool = False
) -> tuple[np.ndarray | None, str, list[list]]:
    """Predict the landmarks of a picture.

    Args:
        path: the picture, or None if none was chosen.
        weights: path of the weights.
        detector: name of the detector, see `get_detector`.
        contours: whether to draw anchors and contours, the network's or splines through its landmarks, instead of
            landmarks; default: False.

    Returns:
        the drawing, a description of the faces, and the table of landmarks.

    Raises:
        OSError: a file cannot be read.
        ValueError: there is no picture, it cannot be decoded or is too large, or the weights cannot be used.
    """
    if path is None:
        raise ValueError("Choose a picture first")
    image = read_untrusted_image(path, DEMO_PIXELS)
    predictor = get_predictor(weights, detector)
    faces = predictor.predict(image)
    if contours:
        faces = predictor.add_outlines(faces)
    return draw_faces(image, faces, predictor.layout), describe(faces), table(faces)


def describe(faces: Sequence[Face]) -> str:
    """Return a line for each face, as Markdown."""
    if not faces:
        return "No face found. For a picture that shows one face and little else, choose the detector *none*."
    lines = [f"**{len(faces)} face{'s' if len(faces) > 1 else ''}**, numbered from the largest"]
    for number, face in enumerate(faces):
        left, top, right, bottom = face.box.round().astype(int).tolist()
        confidence = "" if face.confidence is None else f", mean confidence {face.confidence.mean():.2f}"
        lines.append(
            f"{number}. {len(face.landmarks)} landmarks, box {left}, {top} to {right}, {bottom}, "
            f"score {face.score:.2f}{confidence}"
        )
    return "\n\n".join(lines)


def table(faces: Sequence[Face]) -> list[list]:
    """Return rows of COLUMNS; a landmark is named by the numbers of face and landmark."""
    rows = []
    for number, face in enumerate(faces):
        confidence = [""] * len(face.landmarks) if face.confidence is None else face.confidence.round(2).tolist()
        for index, ((x, y), sure) in enumerate(zip(face.landmarks, confidence, strict=True)):
            rows.append([f"{number}.{index}", round(float(x), 1), round(float(y), 1), sure])
    return rows


def build_page(gr: types.ModuleType, weights: Sequence[str]):
    """Return the page, a gradio.Blocks.

    Args:
        gr: the module gradio.
        weights: the weights that can be chosen; the first is the default.
    """

    def show(path, weights, detector, contours):
        try:
            return predict_picture(path, weights, detector, contours)
        except (OSError, ValueError, ImportError) as error:
            message = str(error).replace(str(path), "The picture")
            raise gr.Error(html.escape(message), print_exception=False) from error  # gradio shows only its own errors

    with gr.Blocks(title="Face landmarks", delete_cache=(DEMO_SECONDS, DEMO_SECONDS)) as page:
        gr.Markdown(
            "# Face landmarks\nLines are contours. Dots are landmarks, coloured by confidence from dark violet (0) to "
            f"yellow (1). Confidence is the probability of an error of at most {CONFIDENT_ERROR:g} % of the data set's "
            "normaliser, mostly the distance between the outer eye corners. Nothing leaves this machine or is kept."
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
                detector = gr.Radio(list(DETECTORS), value=DEFAULT_DETECTOR, label="Detector")
                contours = gr.Checkbox(label="Anchors and contours", elem_id="contours")
                button = gr.Button("Find landmarks", variant="primary", elem_id="find")
                example = gr.Button("Example picture", elem_id="example")
            with gr.Column():
                drawing = gr.Image(
                    label="Landmarks",
                    type="numpy",
                    format="png",
                    interactive=False,
                    elem_id="drawing",
                    buttons=["download", "fullscreen"],
                )
                description = gr.Markdown(elem_id="description")
                numbers = gr.Dataframe(headers=COLUMNS, interactive=False, max_height=300, elem_id="numbers")
        outputs = [drawing, description, numbers]
        button.click(show, [picture, chosen, detector, contours], outputs, api_visibility="private")
        example.click(example_picture, None, picture, api_visibility="private")
    return page


def example_picture() -> np.ndarray:
    """Return scikit-image's photograph of the astronaut Eileen Collins (NASA, public domain)."""
    return import_package("skimage.data", "the example picture", "requirements-demo.txt").astronaut()


def launch(weights: Sequence[str], port: int, block: bool = True):
    """Serve the page.

    Args:
        weights: the weights that can be chosen.
        port: port of 127.0.0.1.
        block: whether to wait until the page is stopped; default: True.

    Returns:
        the page, a gradio.Blocks.
    """
    gr = import_package("gradio", "the web page", "requirements-demo.txt")
    page = build_page(gr, weights)
    page.queue(default_concurrency_limit=1, max_size=8)  # one picture at a time
    page.launch(
        server_name=HOST,
        server_port=port,
        share=False,
        max_file_size=DEMO_BYTES,
        theme=gr.themes.Default(font="sans-serif", font_mono="monospace"),  # no fonts from other servers
        footer_links=[],
        quiet=not block,
        prevent_thread_lock=not block,
    )
    return page


def private_folder() -> tempfile.TemporaryDirectory:
    """Return a temporary folder for the page's files, in memory if the system can."""
    memory = MEMORY if os.access(MEMORY, os.W_OK) else None
    folder = tempfile.TemporaryDirectory(prefix="web_demo.", dir=memory)
    os.environ["GRADIO_TEMP_DIR"] = folder.name
    return folder


def serve(given: str | None, port: int) -> None:
    """Serve the page until it is stopped.

    Args:
        given: the weights that are chosen first, or None.
        port: port of 127.0.0.1.
    """
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the folder is deleted after SIGTERM, too
    with private_folder():
        weights = find_demo_weights(given)
        if given:
            get_predictor(weights[0], DEFAULT_DETECTOR)  # unreadable weights of the command line stop the program
        launch(weights, port)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    parser = argparse.ArgumentParser(description="Serve a web page on this machine for trying a network.")
    add = parser.add_argument
    add("--weights", help="weights that are chosen first; default: the best of pre_trained_models/ and runs/")
    add("--port", type=int, default=DEMO_PORT, help="port of 127.0.0.1; default: %(default)s")
    options = parser.parse_args(arguments)
    return cli.run(lambda: serve(options.weights, options.port), "inference.web_demo")


if __name__ == "__main__":
    sys.exit(main())
