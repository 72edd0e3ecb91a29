"""inference/web_demo.py: the results of the page, and, in a real browser, from an upload to drawn landmarks."""

import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage import data

from config import ROOT
from inference import web_demo
from inference.web_demo import DEMO_PIXELS
from utils.files import write_json

pytestmark = pytest.mark.integration

BROWSER = (
    "--headless --no-sandbox --disable-gpu --disable-background-networking --disable-component-update --disable-sync"
)


def save_astronaut(folder):
    Image.fromarray(data.astronaut()).save(folder / "astronaut.png")
    return str(folder / "astronaut.png")


def test_results_of_the_page(weights, tmp_path):
    picture = save_astronaut(tmp_path)
    drawn, description, rows = web_demo.predict_picture(picture, str(weights), "cascade")
    assert drawn.shape == data.astronaut().shape and (drawn != data.astronaut()).any()
    assert "1 face" in description and "68 landmarks" in description
    assert len(rows) == 68 and rows[-1][0] == "0.67" and 0 <= rows[0][3] <= 1
    _, description, rows = web_demo.predict_picture(picture, str(weights), "none")
    assert len(rows) == 68


def test_no_face_no_picture_and_too_many_pixels(weights, tmp_path):
    Image.fromarray(np.zeros((50, 50, 3), np.uint8)).save(tmp_path / "black.png")
    assert "No face" in web_demo.predict_picture(str(tmp_path / "black.png"), str(weights), "cascade")[1]
    with pytest.raises(ValueError, match="Choose a picture"):
        web_demo.predict_picture(None, str(weights), "cascade")
    Image.new("L", (DEMO_PIXELS // 4000 + 1, 4000)).save(tmp_path / "large.png")
    with pytest.raises(ValueError, match="too large"):
        web_demo.predict_picture(str(tmp_path / "large.png"), str(weights), "cascade")


FOLDERS = ("pre_trained_models", "runs")


def test_the_choice_of_weights(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"train\.py"):
        web_demo.find_demo_weights(None, FOLDERS)
    for file in ("runs/a/best.keras", "runs/a/best.confidence.json", "pre_trained_models/x.onnx"):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).touch()
    expected = ["mine.h5", "pre_trained_models/x.onnx", "runs/a/best.keras"]
    assert web_demo.find_demo_weights("mine.h5", FOLDERS) == expected
    assert web_demo.find_demo_weights("runs/a/best.keras", FOLDERS)[0] == "runs/a/best.keras"


def test_the_best_weights_come_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    good = {"a/best": 5.0, "b/best": 4.0, "b/last": 4.0, "c/best": None}
    for name, nme in good.items():
        file = tmp_path / "runs" / f"{name}.keras"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
        write_json(file.with_name("settings.json"), {"settings": {"dataset": "300W"}, "validation": {"nme": nme}})
    (tmp_path / "pre_trained_models").mkdir()
    (tmp_path / "pre_trained_models/old.h5").touch()
    order = ("runs/b/best", "runs/b/last", "runs/a/best")
    unranked = ["pre_trained_models/old.h5", "runs/c/best.keras"]
    assert web_demo.find_demo_weights(None, FOLDERS) == [f"{name}.keras" for name in order] + unranked


def test_only_broken_weights_of_the_command_line_stop_the_page(tmp_path, monkeypatch, capsys):
    (tmp_path / "broken.keras").write_text("no network")
    launched = []
    monkeypatch.setattr(web_demo, "find_demo_weights", lambda given: [str(tmp_path / "broken.keras")])
    monkeypatch.setattr(web_demo, "launch", lambda files, port: launched.append(files))
    monkeypatch.setattr(web_demo.signal, "signal", lambda *_: None)
    monkeypatch.setenv("GRADIO_TEMP_DIR", "")
    monkeypatch.setenv("GRADIO_ANALYTICS_ENABLED", "")
    assert web_demo.main([]) == 0 and launched == [[str(tmp_path / "broken.keras")]]
    assert web_demo.main(["--weights", str(tmp_path / "broken.keras")]) == 1
    assert "broken.keras: cannot be read as a model" in capsys.readouterr().err


def page_folders():
    """The folders of running pages."""
    parents = (web_demo.MEMORY, tempfile.gettempdir())
    return [path for parent in parents for path in Path(parent).glob("web_demo.*")]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def served(weights, tmp_path):
    """The page's address, its process, and its folder of files; stopped at the end."""
    pytest.importorskip("gradio", reason="gradio is not installed (requirements-demo.txt)")
    port, before = free_port(), set(page_folders())
    with open(tmp_path / "log.txt", "w") as log:
        command = [sys.executable, "-m", "inference.web_demo", "--weights", str(weights), "--port", str(port)]
        process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)
    try:
        for _ in range(240):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert process.poll() is None, (tmp_path / "log.txt").read_text()[-2000:]
            time.sleep(0.5)
        (folder,) = set(page_folders()) - before
        yield f"http://127.0.0.1:{port}/", process, folder
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()


@pytest.fixture
def browser():
    """The system's Chromium; skipped without it, its driver or selenium."""
    selenium = pytest.importorskip("selenium.webdriver", reason="selenium is not installed (requirements-dev.txt)")
    paths = [next(filter(None, map(shutil.which, names)), None) for names in
             (("chromium", "chromium-browser", "google-chrome"), ("chromedriver",))]  # fmt: skip
    if None in paths:
        pytest.skip("no Chromium with its driver (apt install chromium chromium-driver)")
    options = selenium.ChromeOptions()
    options.binary_location = paths[0]
    for word in BROWSER.split():
        options.add_argument(word)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL"})
    driver = selenium.Chrome(options=options, service=selenium.ChromeService(paths[1]))
    yield driver
    driver.quit()


@pytest.mark.slow
def test_from_upload_to_drawn_landmarks_in_a_browser(served, browser, tmp_path):
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import WebDriverWait

    address, process, folder = served
    wait = WebDriverWait(browser, 90)
    browser.get(address)

    def one(selector):
        return wait.until(lambda page: page.find_element(By.CSS_SELECTOR, selector))

    one("#picture input[type=file]").send_keys(save_astronaut(tmp_path))
    one("#picture img")
    one("#find button, button#find").click()
    drawing = one("#drawing img")
    wait.until(lambda page: "68 landmarks" in page.find_element(By.ID, "description").text)
    pixels = browser.execute_script(
        """const canvas = document.createElement('canvas'), image = arguments[0];
        canvas.width = image.naturalWidth; canvas.height = image.naturalHeight;
        const context = canvas.getContext('2d'); context.drawImage(image, 0, 0);
        return Array.from(context.getImageData(0, 0, canvas.width, canvas.height).data)""",
        drawing,
    )
    shown = np.array(pixels, np.uint8).reshape(512, 512, 4)[..., :3]
    expected, *_ = web_demo.predict_picture(str(tmp_path / "astronaut.png"), served_weights(process), "cascade")
    assert np.abs(shown.astype(int) - expected).mean() < 1
    assert (shown != data.astronaut()).any()

    requests = [entry["message"] for entry in browser.get_log("performance") if "requestWillBeSent" in entry["message"]]
    elsewhere = [text for text in requests if '"url":"http' in text and f'"url":"{address[:-1]}' not in text]
    assert not elsewhere  # no request to another machine
    process.send_signal(signal.SIGTERM)
    process.wait(60)
    assert not folder.exists()  # nothing is kept


def served_weights(process):
    """The weights of a process's command line."""
    return process.args[process.args.index("--weights") + 1]
