"""benchmarks/losses.py: its queue, its tables, and a comparison that is killed and resumed."""

import argparse
import csv
import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from unittest import mock

import numpy as np
import pytest

import methods
import metrics
import train
from ace_net.losses import ACELoss
from benchmarks import losses as bench
from benchmarks import training_queue
from benchmarks.comparison import Comparison, Truth, read_result
from benchmarks.losses import TRAIN_OPTIONS, describe, plan
from benchmarks.training_queue import Training, train_all
from config import ROOT
from face_datasets.catalogue import get_dataset
from losses.regression import WingLoss
from pixelwise.losses import AdaptiveWingLoss, HeatmapLoss
from tests.robustness.tiny_network import build_tiny, with_build
from training import callbacks
from training.recipes import get_recipe

W300 = get_dataset("300W")
EPOCHS = 2
FACES = 6
SHORT = ["--dataset", "300W", "--input-size", "32", "--batch-size", "2", "--epochs", str(EPOCHS), "--max-faces", "8"]


def bench_words(prepared, out, *more, seeds="7,8"):
    words = [*SHORT, "--data-dir", prepared, "--methods", "acr,l2", "--seeds", seeds, "--out", out, *more]
    return list(map(str, words))


def train_here(prepared, folder, method, seed):
    words = [*SHORT, "--data-dir", prepared, "--method", method, "--seed", seed, "--save-path", folder]
    words += ["--recipe", "faces", "--precision", "float32"]
    assert train.main(list(map(str, words))) == 0


def table_of(folder, name="table.csv"):
    with open(folder / name, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


# ----------------------------------------------------------------------------------------------------------- whole


class Killed(BaseException):
    """Stands in for SIGKILL: nothing catches it."""


@pytest.fixture
def in_this_process(monkeypatch):
    """A function that runs a training in this process; a folder named in its `killed` is left after an epoch."""

    def run(training, environment, stdin):
        training.folder.mkdir(parents=True, exist_ok=True)
        (training.folder / "output.txt").touch()
        on_epoch_end = callbacks.Checkpoint.on_epoch_end

        def killed_after_it(callback, epoch, logs=None):
            on_epoch_end(callback, epoch, logs)
            raise Killed

        with monkeypatch.context() as patch:
            if training.folder.name in run.killed:
                patch.setattr(callbacks.Checkpoint, "on_epoch_end", killed_after_it)
            return train.main(training.words())

    run.killed = set()
    return run


def make_runs(prepared, folder, seeds):
    for method in ("acr", "l2"):
        for seed in seeds:
            train_here(prepared, folder / method / str(seed), method, seed)


@pytest.mark.integration
def test_a_killed_comparison_resumes_and_ends_with_the_same_table(
    tiny, in_this_process, prepared_300w, tmp_path, capfd
):
    """The first comparison finds both runs; the second finds one and is killed while it trains the other."""
    make_runs(prepared_300w, tmp_path / "made", [7])
    words = bench_words(prepared_300w, tmp_path / "whole", "--run-dir", tmp_path / "made", seeds="7")
    assert bench.main(words) == 0
    assert not (tmp_path / "whole/runs").exists()
    printed = capfd.readouterr()
    assert "Commit " in printed.out and str(tmp_path / "made/l2/7") in printed.out
    assert f"{tmp_path / 'made/acr/7'}: finished" in printed.err

    words = bench_words(prepared_300w, tmp_path / "killed", "--run-dir", tmp_path / "made/acr", seeds="7")
    options = bench.parse_options(words)
    in_this_process.killed.add("mnv2_l2_7")
    with pytest.raises(Killed):
        bench.compare_losses(options, in_this_process)
    run = tmp_path / "killed/runs/mnv2_l2_7"
    assert Training((), run, EPOCHS).epochs_done() == 1
    in_this_process.killed.clear()
    bench.compare_losses(options, in_this_process)
    assert [path.name for path in run.parent.iterdir()] == [run.name]  # the other one is not repeated
    printed = capfd.readouterr().err
    assert "2/2" in printed  # trainings, the one found among them
    assert f"{run}: after epoch 1 of 2" in printed

    one, other = table_of(tmp_path / "whole"), table_of(tmp_path / "killed")
    assert len(one) == 2 * 2 * 3  # methods, normalisers, subsets
    same_tables(one, other, rel=1e-5)
    same_tables(table_of(tmp_path / "whole", "differences.csv"), table_of(tmp_path / "killed", "differences.csv"), 1e-3)
    names = {"table.md", "table.csv", "differences.csv", "convergence.csv"}
    names |= {"ced.png", "landmarks.png", "convergence.png", "differences.png"}
    assert names <= {path.name for path in (tmp_path / "killed").iterdir()}
    steps = [int(row["step"]) for row in table_of(tmp_path / "killed", "convergence.csv")]
    train_faces = json.loads((tmp_path / "made/acr/7/settings.json").read_text())["faces"]["train"]["n"]
    expected = get_recipe(W300, "faces").repeats * train_faces // 2
    assert steps == [expected, 2 * expected] * 2

    before = (run / "state.npz").stat().st_mtime_ns
    assert bench.main([*words, "--epochs", "3"]) == 1  # in the same folder this would be another comparison
    assert "holds a run with other settings. Received another recipe" in capfd.readouterr().err
    assert (run / "state.npz").stat().st_mtime_ns == before


def plan_options(prepared, out, method):
    """The options of a comparison of one run."""
    options = argparse.Namespace(
        run_dirs=[out], out=out / "bench", archs=["mobileNetV2"], methods=[method], seeds=[7], learning_rates={}
    )
    given = train.parse_options(list(map(str, [*SHORT, "--data-dir", prepared, "--recipe", "faces"])))
    for name in ("dataset", *TRAIN_OPTIONS):
        setattr(options, name, getattr(given, name))
    options.precision = "float32"
    return options


def plan_of(prepared, out, method):
    """The trainings of a comparison of one run."""
    return [training for training, _ in plan(plan_options(prepared, out, method)).values()]


def test_a_learning_rate_without_a_number_is_an_error(capsys):
    with pytest.raises(SystemExit):
        bench.main(["--learning-rates", "l2", "--out", "unused"])
    assert "argument --learning-rates: expected METHOD=RATE,... Received 'l2'" in capsys.readouterr().err


def test_a_method_can_have_a_learning_rate_of_its_own(prepared_300w, tmp_path):
    options = plan_options(prepared_300w, tmp_path, "l2")
    options.methods.append("l1")
    options.learning_rates = {"l1": 0.0005}
    rates = {method: recipe.learning_rate for (_, method, _), (_, recipe) in plan(options).items()}
    assert rates == {"l2": get_recipe(W300, "faces").learning_rate, "l1": 0.0005}


@pytest.fixture(scope="module")
def made(prepared_300w, tmp_path_factory):
    """A finished run of Wing."""
    folder = tmp_path_factory.mktemp("runs") / "made"
    with pytest.MonkeyPatch.context() as patch, mock.patch.dict(os.environ):
        patch.setitem(methods.METHODS, "wing", with_build(methods.METHODS["wing"], build_tiny))
        train_here(prepared_300w, folder, "wing", 7)
    return folder


@pytest.mark.integration
@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("wing", WingLoss(width=5.0)),
        ("heatmap", HeatmapLoss(sigma=2.0)),
        ("adaptive_wing", AdaptiveWingLoss(weight=5.0)),
        ("ace", ACELoss(landmark_weight=0.2)),
    ],
)
def test_a_changed_loss_takes_no_old_run(made, prepared_300w, tmp_path, monkeypatch, name, changed):
    """The run of another method is that of Wing with the other's settings: nothing else of it is asked."""
    shutil.copytree(made, tmp_path / "made")
    record = json.loads((made / "settings.json").read_text())
    words = [*SHORT, "--data-dir", prepared_300w, "--method", name, "--recipe", "faces", "--precision", "float32"]
    settings = train.Train(train.get_config(train.parse_options(list(map(str, words))), tmp_path)).config.asdict()
    assert name != "wing" or record["settings"] == json.loads(json.dumps(settings))
    (tmp_path / "made/settings.json").write_text(json.dumps(record | {"settings": settings}))
    assert plan_of(prepared_300w, tmp_path, name)[0].folder == tmp_path / "made"
    other = dataclasses.replace(methods.METHODS[name], loss=lambda data_dir, dataset, crop, **options: changed)
    monkeypatch.setitem(methods.METHODS, name, other)
    assert plan_of(prepared_300w, tmp_path, name)[0].folder == tmp_path / f"bench/runs/mnv2_{name}_7"


@pytest.mark.integration
def test_a_run_without_its_loss_is_not_taken(made, prepared_300w, tmp_path):
    shutil.copytree(made, tmp_path / "made")
    (tmp_path / ".vscode").mkdir()
    (tmp_path / ".vscode/settings.json").write_text("{}")  # another program's
    record = json.loads((tmp_path / "made/settings.json").read_text())
    assert (record["settings"]["loss"]["width"], record["settings"]["loss"]["image_size"]) == (10.0, 224)
    del record["settings"]["loss"]
    (tmp_path / "made/settings.json").write_text(json.dumps(record))
    assert plan_of(prepared_300w, tmp_path, "wing")[0].folder == tmp_path / "bench/runs/mnv2_wing_7"


def same_tables(one, other, rel):
    assert len(one) == len(other) and one[0].keys() == other[0].keys()
    for row, same in zip(one, other, strict=True):
        for name, value in row.items():
            try:
                assert float(same[name]) == pytest.approx(float(value), rel=rel, abs=1e-3)
            except ValueError:  # no number
                assert same[name] == value


@pytest.mark.integration
@pytest.mark.slow
def test_side_by_side_and_killed_by_the_system(tiny, prepared_300w, tmp_path):
    """The same with real processes of one thread each, which round otherwise: 1e-4 of a run's NME."""
    make_runs(prepared_300w, tmp_path / "made/7", [7])
    make_runs(prepared_300w, tmp_path / "made/8", [8])
    assert bench.main(bench_words(prepared_300w, tmp_path / "whole", "--run-dir", tmp_path / "made")) == 0
    words = bench_words(prepared_300w, tmp_path / "killed", "--run-dir", tmp_path / "made/7", "--jobs", "2")
    command = [sys.executable, str(ROOT / "tests/helpers/tiny_bench.py"), *words]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    options = dict(cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    runs = [tmp_path / f"killed/runs/mnv2_{method}_8" for method in ("acr", "l2")]
    process = subprocess.Popen(command, **options)
    while process.poll() is None and not any((run / "log.csv").exists() for run in runs):
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert sum(Training((), run, EPOCHS).epochs_done() for run in runs) < 2 * EPOCHS

    resumed = subprocess.run(command, **options, timeout=300)
    assert resumed.returncode == 0, resumed.stderr
    assert "4/4" in resumed.stderr
    for row, same in zip(table_of(tmp_path / "whole"), table_of(tmp_path / "killed"), strict=True):
        assert float(same["nme"]) == pytest.approx(float(row["nme"]), rel=1e-3)
    assert (runs[0] / "output.txt").read_text().count("python train.py") == 2


# ----------------------------------------------------------------------------------------------------------- queue


def finish(folder, epochs, order=("best.keras", "state.npz", "log.csv", "metrics.json", "predictions.json")):
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(order):
        (folder / name).write_text("epoch,val_nme\n" + "1,2\n" * epochs)
        os.utime(folder / name, (1000 + number, 1000 + number))


@pytest.fixture
def queue(tmp_path):
    """Four trainings, a function that runs them without a process, their exit statuses, and those that were run."""
    trainings = [Training(("--seed", str(number)), tmp_path / str(number), EPOCHS) for number in range(4)]
    statuses, started = {training.folder.name: 0 for training in trainings}, []

    def run(training, environment, stdin):
        started.append((training.folder.name, environment.get("TF_NUM_INTRAOP_THREADS")))
        training.folder.mkdir(exist_ok=True)
        (training.folder / "output.txt").write_text("first line\ntrain.py: no such thing\n\n")
        if not statuses[training.folder.name]:
            finish(training.folder, training.epochs)
        return statuses[training.folder.name]

    return trainings, run, statuses, started


def test_finished_trainings_are_not_repeated(queue, capfd):
    trainings, run, _, started = queue
    finish(trainings[1].folder, EPOCHS)
    train_all(trainings, run=run)
    assert started == [("0", None), ("2", None), ("3", None)]
    train_all(trainings, jobs=2, run=run)
    assert len(started) == 3 and "4/4" in capfd.readouterr().err


def test_side_by_side_each_has_one_thread(queue):
    trainings, run, _, started = queue
    train_all(trainings, jobs=2, run=run)
    assert sorted(started) == [(str(number), "1") for number in range(4)]
    with pytest.raises(ValueError, match="jobs must be 1 or more. Received 0"):
        train_all(trainings, jobs=0)


def test_a_failed_training_costs_no_other(queue):
    trainings, run, statuses, started = queue
    statuses["1"] = 1
    with pytest.raises(RuntimeError, match=r"1 of 4 trainings failed.*/1: train.py: no such thing"):
        train_all(trainings, run=run)
    assert len(started) == 4 and trainings[3].finished()
    (trainings[1].folder / "output.txt").unlink()
    assert trainings[1].last_line() == "it ended before it could print"


@pytest.mark.integration
def test_a_process_runs_train_and_its_output_is_kept(tmp_path, monkeypatch):
    program = training_queue.PROGRAM.replace(
        "import train\nsys.exit(train.main(sys.argv[1:]))", "print(sys.argv); sys.exit(3)"
    )
    monkeypatch.setattr(training_queue, "PROGRAM", program)
    training = Training(("--seed", "7"), tmp_path / "run", EPOCHS)
    with pytest.raises(RuntimeError, match="1 of 1 trainings failed"):
        train_all([training])
    words = ["--seed", "7", "--save-path", str(tmp_path / "run")]
    assert (tmp_path / "run/output.txt").read_text() == f"python train.py {' '.join(words)}\n{['train.py', *words]}\n"


@pytest.mark.integration
def test_trainings_end_with_the_queue(tmp_path, monkeypatch):
    program = training_queue.PROGRAM.replace(
        "import train\nsys.exit(train.main(sys.argv[1:]))", "threading.Event().wait()"
    )
    monkeypatch.setattr(training_queue, "PROGRAM", program)
    ends, open_end = os.pipe()
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(training_queue.run_training, Training((), tmp_path, EPOCHS), {}, ends)
        os.close(open_end)  # as the end of the queue's process does
        assert running.result(timeout=60) == 1
    os.close(ends)


def test_an_evaluation_of_older_weights_does_not_count(tmp_path):
    training = Training((), tmp_path, EPOCHS)
    assert not training.finished() and training.epochs_done() == 0
    finish(tmp_path, EPOCHS)
    assert training.finished()
    finish(tmp_path, EPOCHS - 1)
    assert not training.finished() and training.epochs_done() == 1
    finish(tmp_path, EPOCHS, order=("metrics.json", "predictions.json", "log.csv", "best.keras"))
    assert not training.finished()


# ------------------------------------------------------------------------------------------------------ comparison


def write_truth(folder, rng):
    """Six faces, two of them challenging; returns their landmarks and inter-ocular distances."""
    landmarks = rng.uniform(0, 100, (FACES, 68, 2))
    subsets = [["full", "challenging" if number < 2 else "common"] for number in range(FACES)]
    faces = [
        {"image": f"{number}.jpg", "landmarks": face.tolist(), "subsets": subset}
        for number, (face, subset) in enumerate(zip(landmarks, subsets, strict=True))
    ]
    (folder / "truth.json").write_text(json.dumps(faces))
    return landmarks, np.linalg.norm(landmarks[:, 36] - landmarks[:, 45], axis=-1)


def write_run(folder, landmarks, shifts, train_sha="a", best=6.5):
    """A finished run whose predictions are off by `shifts` (faces,) pixels in x, evaluated by metrics.py."""
    folder.mkdir(parents=True)
    predicted = landmarks + shifts[:, None, None] * (1.0, 0.0)
    entries = [{"image": f"{number}.jpg", "landmarks": face.tolist()} for number, face in enumerate(predicted)]
    (folder / "predictions.json").write_text(json.dumps(entries[::-1]))
    evaluation, _, _ = metrics.evaluate_files(folder / "predictions.json", folder.parent / "truth.json", W300)
    evaluation |= {"weights": "best.keras", "crop": "square", "split": "test", "flip": False}
    (folder / "metrics.json").write_text(json.dumps(evaluation))
    faces = {"train": {"n": 100, "sha256": train_sha}, "validation": {"n": 10, "sha256": "b"}}
    record = {"settings": {"crop": "square"}, "commit": "abc", "faces": faces, "validation": {"nme": best}}
    (folder / "settings.json").write_text(json.dumps(record))
    (folder / "log.csv").write_text("epoch,loss,val_nme\n1,0.5,9.0\n2,0.4,7.5\n")
    return folder


@pytest.fixture
def compared(tmp_path):
    """Truth, the NME of every face of every run by hand, and the comparison of two entries with two seeds each."""
    rng = np.random.default_rng(0)
    landmarks, distance = write_truth(tmp_path, rng)
    shifts = rng.uniform(0.5, 3.0, (2, 2, FACES))  # entries, seeds, faces
    truth = Truth(W300, tmp_path / "truth.json")
    recipe = dataclasses.replace(get_recipe(W300, "faces"), batch_size=8, repeats=4)  # 50 steps an epoch
    results = {
        entry: [
            read_result(write_run(tmp_path / f"{entry}{s}", landmarks, shifts[e, s], best=6.5 + 1.5 * s), recipe, truth)
            for s in (0, 1)
        ]
        for e, entry in enumerate(("wing", "l2"))
    }
    return truth, 100 * shifts / distance, Comparison(truth, results), recipe


def test_the_table_by_hand(compared):
    _, nmes, comparison, _ = compared
    rows = {(row["entry"], row["normaliser"], row["subset"]): row for row in comparison.rows()}
    row = rows["wing", "inter-ocular", "challenging"]
    seeds = nmes[0, :, :2].mean(axis=1)
    assert row["nme"] == pytest.approx(seeds.mean())
    assert row["nme_std"] == pytest.approx(abs(seeds[0] - seeds[1]) / np.sqrt(2))  # of a sample of two
    assert (row["n"], row["n_official"], row["seeds"]) == (2, 135, 2)
    assert rows["l2", "inter-ocular", "full"]["fr@8"] == pytest.approx((nmes[1] > 8).mean())
    assert ("l2", "inter-pupil", "common") in rows
    assert rows["l2", "inter-ocular", "full"]["validation_nme"] == 7.25  # of 6.5 and 8
    assert all(row["validation_nme"] is None for key, row in rows.items() if key[1:] != ("inter-ocular", "full"))


def test_differences_average_over_seeds_first(compared):
    _, nmes, comparison, _ = compared
    rows = {row["subset"]: row for row in comparison.differences()}
    assert list(rows) == ["full", "common", "challenging"]
    for subset, faces in (("full", slice(None)), ("challenging", slice(2))):
        means = nmes.mean(axis=1)[:, faces]
        assert rows[subset]["nme"] == pytest.approx((means[0] - means[1]).mean())
        assert rows[subset]["low"] <= rows[subset]["nme"] <= rows[subset]["high"]
        assert (rows[subset]["entry"], rows[subset]["other"]) == ("wing", "l2")
        assert rows[subset]["significant"] == "not known"  # six faces


def test_steps_follow_from_faces_and_recipe(compared):
    _, _, comparison, _ = compared
    np.testing.assert_array_equal(comparison.results["l2"][0].steps, [50, 100])
    np.testing.assert_array_equal(comparison.results["l2"][0].validation, [9.0, 7.5])


def test_one_entry_with_one_seed_is_a_comparison_too(compared, tmp_path):
    truth, nmes, comparison, _ = compared
    single = Comparison(truth, {"l2": comparison.results["l2"][:1]})
    files = single.write(tmp_path / "out", "One run.")
    assert all(file.stat().st_size for file in files if file.name != "differences.csv")
    text = files[0].read_text()
    assert "intervals over test faces, not over seeds. Faces: paired bootstrap" in text
    assert f"- l2: {tmp_path / 'l20'}\n" in text
    assert f"| l2 | inter-ocular | full | 6 | 689 | 1 | {nmes[1, 0].mean():.2f} |" in text


def test_runs_that_cannot_be_compared(compared, tmp_path):
    truth, _, comparison, recipe = compared
    run = comparison.results["l2"][0]
    landmarks = truth.landmarks
    other = read_result(write_run(tmp_path / "other", landmarks, np.ones(FACES), train_sha="c"), recipe, truth)
    with pytest.raises(ValueError, match="different train faces.*a comparison needs the same"):
        Comparison(truth, {"l2": [run], "l1": [other]})

    evaluation = json.loads((run.folder / "metrics.json").read_text())
    evaluation["subsets"]["full"]["nme"] += 0.01
    (run.folder / "metrics.json").write_text(json.dumps(evaluation))
    with pytest.raises(ValueError, match=rf"do not agree.*python test.py --dataset 300W --data-dir {tmp_path.parent}"):
        read_result(run.folder, recipe, truth)
    predictions = json.loads((run.folder / "predictions.json").read_text())
    (run.folder / "predictions.json").write_text(json.dumps(predictions[1:]))
    with pytest.raises(ValueError, match="Received 5 faces, 5 of its 6.*Evaluate it again"):
        read_result(run.folder, recipe, truth)
    shutil.copy(other.folder / "metrics.json", other.folder / "log.csv")
    with pytest.raises(ValueError, match="other does not hold a complete run"):
        read_result(other.folder, recipe, truth)


@pytest.mark.parametrize(
    "changes", [{"weights": "last.keras"}, {"flip": True}, {"split": "validation"}, {"crop": "tight"}]
)
def test_another_evaluation_is_no_result(compared, changes):
    truth, _, comparison, recipe = compared
    folder = comparison.results["l2"][0].folder
    evaluation = json.loads((folder / "metrics.json").read_text())
    (folder / "metrics.json").write_text(json.dumps(evaluation | changes))
    with pytest.raises(ValueError, match=r"is of another evaluation.*Received.*Evaluate it again: python test.py"):
        read_result(folder, recipe, truth)


@pytest.mark.parametrize(
    "faces, validation",
    [
        ({"train": {"n": 100, "sha256": "a"}}, {"nme": 5.0}),
        ({"train": 100, "validation": 10}, {"nme": 5.0}),
        ({"train": {"n": 100, "sha256": "a"}, "validation": {"n": 10, "sha256": "b"}}, None),
    ],
)
def test_records_that_lack_something_are_named(compared, faces, validation):
    truth, _, comparison, recipe = compared
    folder = comparison.results["l2"][0].folder
    record = json.loads((folder / "settings.json").read_text())
    (folder / "settings.json").write_text(json.dumps(record | {"faces": faces, "validation": validation}))
    with pytest.raises(ValueError, match="does not hold a complete run"):
        read_result(folder, recipe, truth)


def test_runs_of_other_normalisers_cannot_be_compared(compared):
    truth, _, comparison, recipe = compared
    runs = comparison.results["l2"]
    evaluation = json.loads((runs[1].folder / "metrics.json").read_text())
    del evaluation["normalisers"]["inter-pupil"]
    (runs[1].folder / "metrics.json").write_text(json.dumps(evaluation))
    with pytest.raises(ValueError, match="not evaluated alike"):
        Comparison(truth, {"l2": [runs[0], read_result(runs[1].folder, recipe, truth)]})


def test_runs_with_eigenbases_of_other_labels_cannot_be_compared(compared):
    truth, _, comparison, _ = compared
    one, other = comparison.results["l2"]
    labelled = [
        dataclasses.replace(run, faces=run.faces | {"labels": {"sha256": digest}})
        for run, digest in ((one, "a"), (other, "b"))
    ]
    Comparison(truth, {"l2": [one, labelled[1]]})  # a loss without eigenbases has no labels
    with pytest.raises(ValueError, match="had eigenbases of different labels.*the same --augmented-copies"):
        Comparison(truth, {"l2": labelled})


def test_the_head_of_the_table_tells_of_other_commits_and_early_ends(compared):
    _, _, comparison, recipe = compared
    settings = {"recipe": dataclasses.asdict(recipe), "input_size": 32, "crop": "square", "precision": "float32"}
    one, other = (dataclasses.replace(run, settings=settings) for run in comparison.results["l2"])
    options = argparse.Namespace(archs=["mobileNetV2"], seeds=[7, 8])
    text = describe(W300, options, {"l2": [dataclasses.replace(one, commit="fed"), one]})
    assert "Warning, the runs are of different commits: " in text and "abc, fed" in text
    shorter = dataclasses.replace(other, steps=other.steps[:1])
    assert f"({one.steps[0]:,} to {one.steps[-1]:,} steps of" in describe(W300, options, {"l2": [one, shorter]})
    assert ", learning rate 0.002, seeds" in text
    slow = settings | {"recipe": settings["recipe"] | {"learning_rate": 0.0005}}
    text = describe(W300, options, {"l2": [one], "acr": [dataclasses.replace(one, settings=slow)]})
    assert ", learning rates l2 0.002, acr 0.0005, seeds" in text


@pytest.mark.parametrize(
    "words, message",
    [
        (["--methods", "l3"], "unknown method. Received 'l3'"),
        (
            ["--methods", "acr,ace,line"],
            "only landmarks are compared. Received ace, line, which predict anchors and contours",
        ),
        (["--archs", "VGG"], "unknown network. Received 'VGG'"),
        (["--seeds", ","], "Received no seeds"),
        (["--run-dir", "nowhere"], "no such folder of runs. Received nowhere"),
        (["--dataset", "300X"], "unknown data set"),
        (["--data-dir", "nowhere"], "not prepared: no nowhere/w300/index.json. Prepare it with: python data_helper.py"),
        (["--seeds=-1"], "seed is too small. Received -1"),
        (["--max-faces", "0"], "max_faces is too small. Received 0"),
        (["--learning-rates", "wing=1e-3"], "Received ['wing'], not in ['acr', 'l2']"),
        (["--learning-rates", "l2=-1"], "learning_rate is too small. Received -1.0"),
    ],
)
def test_mistakes_on_the_command_line(tmp_path, prepared_300w, capsys, words, message):
    assert bench.main(bench_words(prepared_300w, tmp_path / "out", *words)) == 1
    error = capsys.readouterr().err
    assert message in error and "Traceback" not in error
    assert not (tmp_path / "out").exists()
