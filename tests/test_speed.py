"""The clocks of the tables of speed, on functions whose time is known."""

import time

import numpy as np
import pytest

from benches.inference import latencies


def test_runs_take_turns_and_a_batch_is_timed():
    calls = []

    def run(name, seconds):
        def work(images):
            assert images.shape == (4, 8, 8, 3) and images.dtype == np.float32
            calls.append(name)
            time.sleep(seconds)

        return work

    times = latencies({"slow": run("slow", 0.02), "fast": run("fast", 0.0)}, size=8, batch=4, images=6, blocks=3)
    assert len(times["slow"]) == len(times["fast"]) == 3
    assert min(times["slow"]) >= 20 and np.median(times["fast"]) < 15  # milliseconds of one batch
    one_round = ["slow"] * 3 + ["fast"] * 3  # one call to warm up, then two batches hold six images
    assert calls == ["slow", "fast", *one_round * 3]


def test_stopwatch_adds_the_calls_of_a_stage():
    stage_speed = pytest.importorskip("benches.stages", exc_type=ImportError)
    watch = stage_speed.Stopwatch()
    sleep = watch.timed("sleep", time.sleep)
    sleep(0.01)
    sleep(0.02)
    assert watch.timed("sum", sum)([1, 2], start=3) == 6
    assert 30 <= watch.spent["sleep"] < 200 and watch.spent["sum"] < 10


def test_pictures_of_the_sizes_that_are_timed(tmp_path):
    stage_speed = pytest.importorskip("benches.stages", exc_type=ImportError)
    from image_utility import read_image, write_image

    write_image(tmp_path / "tall.jpg", np.full((90, 60, 3), 200, np.uint8))
    files = stage_speed.resized_pictures(tmp_path / "tall.jpg", tmp_path)
    assert [read_image(file).shape for file in files.values()] == [(480, 640, 3), (3000, 4000, 3)]
