"""Trainings one after another or side by side, each in a process of its own; whatever is killed is resumed later.

A training is a command line of train.py. Its folder shows how far it is, so the queue itself stores nothing.
"""

import csv
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from config import BEST_FILE, LOG_FILE, METRICS_FILE, PREDICTIONS_FILE, ROOT, STATE_FILE

OUTPUT_FILE = "output.txt"  # in the folder of a run: what its processes have printed
SIDE_BY_SIDE = {  # environment of trainings that share a machine: one thread each, and no more GPU memory than needed
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "OPENCV_FOR_THREADS_NUM": "1",
    "TF_FORCE_GPU_ALLOW_GROWTH": "true",
}
PROGRAM = """
import os, sys, threading

def end_with_parent():
    os.read(0, 1)  # returns when the queue has ended, however it has
    os._exit(1)

threading.Thread(target=end_with_parent, daemon=True).start()
sys.argv[0] = "train.py"
import train
sys.exit(train.main(sys.argv[1:]))
"""  # of a process: train.py


@dataclass(frozen=True)
class Training:
    """One run of train.py, started or not.

    Args:
        arguments: command line, without --save-path and --resume.
        folder: folder of the run.
        epochs: number of epochs.
        patience: patience of the recipe, after which the run ends earlier; default: None.
    """

    arguments: tuple[str, ...]
    folder: Path
    epochs: int
    patience: int | None = None

    @property
    def begun(self) -> bool:
        """Whether there is a state to resume from."""
        return (self.folder / STATE_FILE).is_file()

    def epochs_done(self) -> int:
        """Return the number of finished epochs in the log; all of them for a run that ended early."""
        from training.callbacks import patience_exhausted

        try:
            rows = list(csv.DictReader((self.folder / LOG_FILE).read_text(encoding="utf-8").splitlines()))
        except FileNotFoundError:
            return 0
        return self.epochs if patience_exhausted(rows, self.patience) else len(rows)

    def finished(self) -> bool:
        """Return whether it has all epochs and an evaluation of its final weights."""
        weights, results = self.folder / BEST_FILE, [self.folder / name for name in (METRICS_FILE, PREDICTIONS_FILE)]
        if self.epochs_done() < self.epochs or not all(file.is_file() for file in (weights, *results)):
            return False
        return min(file.stat().st_mtime_ns for file in results) >= weights.stat().st_mtime_ns

    def stage(self) -> str:
        """Return a description of its progress."""
        done = self.epochs_done()
        if self.finished():
            return "finished"
        if done >= self.epochs:
            return "trained, but without an evaluation that is newer than its weights"
        return f"after epoch {done} of {self.epochs}" if self.begun else "new"

    def words(self) -> list[str]:
        """Return the command line that starts or resumes it."""
        return [*self.arguments, "--save-path", str(self.folder), *["--resume"] * self.begun]

    def last_line(self) -> str:
        """Return the last line that its processes printed."""
        if not (self.folder / OUTPUT_FILE).is_file():
            return "it ended before it could print"
        lines = (self.folder / OUTPUT_FILE).read_text(encoding="utf-8", errors="replace").splitlines()
        return next((line.strip() for line in reversed(lines) if line.strip()), "it printed nothing")


def run_training(training: Training, environment: dict[str, str], stdin: int) -> int:
    """Start or resume a training in a process of its own and wait for its end.

    Args:
        training: the training; its output is appended to OUTPUT_FILE in its folder.
        environment: environment variables besides those of this process.
        stdin: descriptor of a pipe; the process ends when the pipe is closed.

    Returns:
        its exit status.
    """
    training.folder.mkdir(parents=True, exist_ok=True)
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    words = training.words()
    with open(training.folder / OUTPUT_FILE, "ab") as output:
        output.write(f"python train.py {shlex.join(words)}\n".encode())
        output.flush()
        return subprocess.run(
            [sys.executable, "-c", PROGRAM, *words],
            stdin=stdin,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=os.environ | {"PYTHONPATH": path} | environment,
        ).returncode


def train_all(
    trainings: Sequence[Training], jobs: int = 1, run: Callable[[Training, dict[str, str], int], int] = run_training
) -> None:
    """Run every training that is not finished yet.

    Args:
        trainings: the trainings; files that they share must exist already.
        jobs: number of trainings side by side; with more than one, each has one thread.
        run: function that runs one training, see `run_training`.

    Raises:
        ValueError: fewer than one job.
        RuntimeError: trainings failed; raised after all others have ended. The message has the first with its reason.
    """
    if jobs < 1:
        raise ValueError(f"jobs must be 1 or more. Received {jobs}")
    environment = {"TQDM_DISABLE": "1", **(SIDE_BY_SIDE if jobs > 1 else {})}
    unfinished = [training for training in trainings if not training.finished()]
    failed = []
    parent_ends, open_end = os.pipe()
    pool = ThreadPoolExecutor(jobs)
    try:
        futures = {pool.submit(run, training, environment, parent_ends): training for training in unfinished}
        with tqdm(total=len(trainings), initial=len(trainings) - len(unfinished), unit="training") as bar:
            for future in as_completed(futures):
                training = futures[future]
                if future.result() or not training.finished():
                    failed.append(training)
                bar.write(f"{training.folder}: {training.last_line() if training in failed else 'done'}")
                bar.update()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        os.close(open_end)  # ends what still runs after an interruption
        pool.shutdown()
        os.close(parent_ends)
    if failed:
        raise RuntimeError(
            f"{len(failed)} of {len(trainings)} trainings failed. The first, {failed[0].folder}: "
            f"{failed[0].last_line()}. {OUTPUT_FILE} there has the rest; the same command tries them again"
        )
