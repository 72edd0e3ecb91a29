"""Trainings one after another or side by side, each in a process of its own; whatever is killed goes on later.

A training is a command line of train.py. Its folder tells how far it is, so the queue itself keeps nothing.
"""

import contextlib
import csv
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path

from tqdm import tqdm

from config import BEST_FILE, LOG_FILE, METRICS_FILE, PREDICTIONS_FILE, STATE_FILE
from training.callbacks import patience_exhausted
from utils.processes import follow_parent

OUTPUT_FILE = "output.txt"  # in the folder of a run: what its processes have printed
POLL = 0.2  # seconds between looks at the trainings
REDRAW = 10.0  # seconds after which the bar is drawn anew though no epoch has ended, for the time left
SIDE_BY_SIDE = {  # environment of trainings that share a machine: one thread each, and no more GPU memory than needed
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "OPENCV_FOR_THREADS_NUM": "1",
    "TF_FORCE_GPU_ALLOW_GROWTH": "true",
}


@dataclass(frozen=True)
class Training:
    """One run of train.py, started or not.

    arguments: its command line, without --save-path and --resume. folder: the run's own. epochs: how many it has.
    patience: of its recipe, after which it ends earlier.
    """

    arguments: tuple[str, ...]
    folder: Path
    epochs: int
    patience: int | None = None

    @property
    def begun(self) -> bool:
        """Whether there is something to go on from."""
        return (self.folder / STATE_FILE).is_file()

    def epochs_done(self) -> int:
        """Finished epochs, as the log has them; all of them once it has ended early."""
        try:
            rows = list(csv.DictReader((self.folder / LOG_FILE).read_text(encoding="utf-8").splitlines()))
        except FileNotFoundError:
            return 0
        return self.epochs if patience_exhausted(rows, self.patience) else len(rows)

    def finished(self) -> bool:
        """Whether it is through, and the evaluation is that of its final weights."""
        weights, results = self.folder / BEST_FILE, [self.folder / name for name in (METRICS_FILE, PREDICTIONS_FILE)]
        if self.epochs_done() < self.epochs or not all(file.is_file() for file in (weights, *results)):
            return False
        return min(file.stat().st_mtime_ns for file in results) >= weights.stat().st_mtime_ns

    def stage(self) -> str:
        """How far it is, in words."""
        done = self.epochs_done()
        if self.finished():
            return "finished"
        if done >= self.epochs:
            return "trained, but without an evaluation that is newer than its weights"
        return f"after epoch {done} of {self.epochs}" if self.begun else "new"

    def start(self, environment: dict[str, str]) -> BaseProcess:
        """Starts it, or lets it go on, in a new process."""
        self.folder.mkdir(parents=True, exist_ok=True)
        words = [*self.arguments, "--save-path", str(self.folder), *["--resume"] * self.begun]
        process = multiprocessing.get_context("spawn").Process(target=_train, args=(words, self.folder / OUTPUT_FILE))
        with _environment(environment):
            process.start()
        return process

    def last_words(self) -> str:
        """The last line that its processes printed."""
        if not (self.folder / OUTPUT_FILE).is_file():
            return "it ended before it could print"
        lines = (self.folder / OUTPUT_FILE).read_text(encoding="utf-8", errors="replace").splitlines()
        return next((line.strip() for line in reversed(lines) if line.strip()), "it printed nothing")


def _train(words: list[str], output: Path) -> None:
    """What the new process does: train.py, its output in a file."""
    follow_parent()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a queue that ends early says so; train.py then saves
    with open(output, "ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    import train

    print(f"python train.py {' '.join(words)}", flush=True)
    sys.exit(train.main(words))


@contextlib.contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    """Environment variables for the processes started meanwhile."""
    before = dict(os.environ)
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def train_all(trainings: Sequence[Training], jobs: int = 1) -> None:
    """Brings every training to its end; those that are finished are left alone.

    A training starts only once the ones before it are under way, since they may still prepare files that all use.

    Args:
        jobs: how many run side by side; with more than one, each has one thread.

    Raises:
        ValueError: fewer than one job.
        RuntimeError: trainings that failed, when all others are through; the message names the first and its reason.
    """
    if jobs < 1:
        raise ValueError(f"jobs must be 1 or more. Received {jobs}")
    environment = {"TQDM_DISABLE": "1", **(SIDE_BY_SIDE if jobs > 1 else {})}
    waiting, running, failed = [training for training in trainings if not training.finished()], {}, []
    total, done, drawn = sum(training.epochs for training in trainings), _epochs_done(trainings), time.monotonic()
    try:
        with tqdm(total=total, initial=done, unit="epoch") as bar:
            while waiting or running:
                if waiting and len(running) < jobs and all(training.begun for training in running):
                    training = waiting.pop(0)
                    running[training] = training.start(environment)
                time.sleep(POLL)
                for training in [training for training, process in running.items() if not process.is_alive()]:
                    if running.pop(training).exitcode or not training.finished():
                        failed.append(training)
                    bar.write(f"{training.folder}: {training.last_words() if training in failed else 'done'}")
                shown, done = (bar.n, bar.postfix), _epochs_done(trainings)
                bar.set_postfix_str(", ".join(training.folder.name for training in running), refresh=False)
                bar.n = done
                if (bar.n, bar.postfix) != shown or time.monotonic() - drawn > REDRAW:
                    bar.refresh()
                    drawn = time.monotonic()
    finally:
        for process in running.values():
            process.terminate()
            process.join()
    if failed:
        raise RuntimeError(
            f"{len(failed)} of {len(trainings)} trainings failed. The first, {failed[0].folder}: "
            f"{failed[0].last_words()}. {OUTPUT_FILE} there has the rest; the same command tries them again"
        )


def _epochs_done(trainings: Sequence[Training]) -> int:
    return sum(training.epochs_done() for training in trainings)
