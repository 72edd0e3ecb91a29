"""One training on several machines, with TensorFlow's multi-worker strategy.

    export TF_CONFIG='{"cluster": {"worker": ["a:2222", "b:2222"]}, "task": {"type": "worker", "index": 0}}'
    python train.py --save-path /shared/run           # on a; and on b with the index 1

Every worker makes only its shards of a batch; all workers validate; the first one, the chief, writes the files. A
worker that was lost is started again with the same command, and all continue from the last finished epoch.
"""

import contextlib
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import keras
import numpy as np

from config import STATE_FILE
from training.strategies import Mirrored

LOST = ("UnavailableError", "AbortedError", "CancelledError", "DeadlineExceededError")  # TensorFlow's, of a lost worker


def count_workers() -> int:
    """Return the number of workers in TF_CONFIG.

    Raises:
        ValueError: TF_CONFIG describes no cluster.
    """
    try:
        return max(1, len(json.loads(os.environ.get("TF_CONFIG") or "{}").get("cluster", {}).get("worker", [])))
    except (ValueError, AttributeError, TypeError) as error:
        example = '{"cluster": {"worker": ["host:port", ...]}, "task": {"type": "worker", "index": 0}}'
        raise ValueError(f"TF_CONFIG describes no cluster. Received {error!r}; expected {example}") from error


def is_chief() -> bool:
    """Return whether this process writes the run; TF_CONFIG has it before the strategy is made."""
    if keras.backend.backend() != "tensorflow" or count_workers() == 1:
        return True
    return json.loads(os.environ["TF_CONFIG"]).get("task", {}).get("index", 0) == 0


def restart_when_lost(command: Callable[[], int | None], resume: bool) -> int | None:
    """Run a command; if another worker is lost meanwhile, start this process again with --resume.

    Args:
        command: the work; returns the exit status.
        resume: whether the command line has --resume.
    """
    try:
        return command()
    except Exception as error:
        if count_workers() == 1 or type(error).__name__ not in LOST:
            raise
        print(f"train.py: another worker is lost; starting again with --resume. {error}", file=sys.stderr, flush=True)
        os.execv(sys.executable, [*sys.orig_argv, *([] if resume else ["--resume"])])


class MultiWorker(Mirrored):
    """tf.distribute on the devices of all workers in TF_CONFIG."""

    def __init__(self):
        super().__init__()
        self.workers = count_workers()
        self.chief = self._strategy.cluster_resolver.task_id == 0

    def _make_strategy(self):
        import tensorflow as tf

        return tf.distribute.MultiWorkerMirroredStrategy()

    @contextlib.contextmanager
    def folder(self, path: Path) -> Iterator[Path]:
        """Yield where this process writes: workers beside the chief into a temporary folder."""
        if self.chief:
            yield path
            return
        with tempfile.TemporaryDirectory() as folder:
            yield Path(folder)

    def resumes(self, path: Path, resume: bool) -> bool:
        """Return whether to resume: a worker may be lost before anything was kept, and the others follow the chief."""
        return (path / STATE_FILE).is_file() and (resume or not self.chief)

    def prepare(self, model: keras.Model) -> None:
        """Prepare a network as on one machine, with two workarounds for Keras 3.15.

        Its `fit` cannot reduce a first batch of several workers (it does without if the model does not remember the
        strategy and takes the one in scope), and it averages metrics over workers along an axis that scalars lack.
        """
        import tensorflow as tf

        super().prepare(model)
        model._distribute_strategy = None
        step = model.train_step
        model.train_step = lambda data: {name: tf.reshape(value, (1,)) for name, value in step(data).items()}

    def check_epochs(self, done: int, path: Path) -> None:
        import tensorflow as tf

        own = np.zeros(self.workers, np.float32)
        own[self._strategy.cluster_resolver.task_id] = self.workers * done  # the mean over workers has all numbers

        @tf.function
        def gather():
            context = tf.distribute.get_replica_context()
            return context.all_reduce(tf.distribute.ReduceOp.MEAN, tf.constant(own))

        gathered = self._strategy.experimental_local_results(self._strategy.run(gather))[0]
        found = sorted({round(float(number)) for number in gathered.numpy()})
        if len(found) > 1:
            raise ValueError(
                f"the workers do not continue from the same epoch. Received {' and '.join(map(str, found))} finished "
                f"epochs in {path}; all workers need the same --save-path"
            )
