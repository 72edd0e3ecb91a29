"""Several devices, or several machines, for one training: the same run, the global batch cut between them.

    python train.py --distribute data_parallel        # all devices of this machine
    export TF_CONFIG='{"cluster": {"worker": ["a:2222", "b:2222"]}, "task": {"type": "worker", "index": 0}}'
    python train.py --save-path /shared/run           # on a; and on b with the index 1

JAX takes Keras' own distribution, TensorFlow tf.distribute: mirrored on one machine, multi-worker where TF_CONFIG names
several. Batch size and learning rate of a recipe are those of the whole batch, so neither changes with the devices.
Each worker makes only its share of a batch; all workers validate alike; the first one, the chief, writes the files.
"""

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np

from training.batches import AugmentedBatches

DISTRIBUTE = ("auto", "none", "data_parallel")
LOST = ("UnavailableError", "AbortedError", "CancelledError", "DeadlineExceededError")  # what TensorFlow then raises


def get_distribution(name: str) -> "Distribution":
    """How a training is spread.

    Args:
        name: "none" uses one device; "data_parallel" all there are (of one kind: accelerators before processors);
            "auto" does so where there are several accelerators, or where TF_CONFIG names several workers.

    Raises:
        ValueError: an unknown name, or a backend that cannot do it here.
    """
    if name not in DISTRIBUTE:
        raise ValueError(f"unknown distribution. Received {name!r}; known: {', '.join(DISTRIBUTE)}")
    backend = keras.backend.backend()
    workers = _workers() if backend == "tensorflow" else 1
    several = workers > 1 or (backend != "torch" and len(accelerators()) > 1)
    if name == "none" or (name == "auto" and not several):
        return Distribution()
    if backend == "tensorflow":
        return _TensorFlow(workers)
    if backend == "jax":
        return _Jax()
    raise ValueError(f"data_parallel needs TensorFlow or JAX. Received {backend!r}; --distribute none is right")


def _workers() -> int:
    """How many workers TF_CONFIG names."""
    try:
        return max(1, len(json.loads(os.environ.get("TF_CONFIG") or "{}").get("cluster", {}).get("worker", [])))
    except (ValueError, AttributeError, TypeError) as error:
        right = '{"cluster": {"worker": ["host:port", ...]}, "task": {"type": "worker", "index": 0}}'
        raise ValueError(f"TF_CONFIG describes no cluster. Received {error!r}; {right} is right") from error


def is_chief() -> bool:
    """Whether this process is the one that writes; TF_CONFIG says so before a distribution is made."""
    if keras.backend.backend() != "tensorflow" or _workers() == 1:
        return True
    return json.loads(os.environ["TF_CONFIG"]).get("task", {}).get("index", 0) == 0


def accelerators() -> list[str]:
    """The GPUs that the backend has, and the TPUs of JAX."""
    backend = keras.backend.backend()
    if backend == "torch":
        import torch

        return [f"cuda:{number}" for number in range(torch.cuda.device_count())]
    if backend == "tensorflow":
        import tensorflow as tf

        return [device.name for device in tf.config.list_physical_devices("GPU")]  # Keras' own list would start threads
    found = []
    for kind in ("gpu", "tpu"):
        try:
            found += keras.distribution.list_devices(kind)
        except RuntimeError:  # how JAX says that it has none
            continue
    return found


class Distribution:
    """One device; what the others do differently, they override.

    Attributes:
        workers: processes that train together. replicas: devices of all of them, between which a batch is cut.
        chief: whether this process is the one that writes the run.
    """

    workers, replicas, chief = 1, 1, True

    @contextlib.contextmanager
    def folder(self, path: Path) -> Iterator[Path]:
        """Where this process writes the run that lies at `path`: workers beside the chief, where nobody looks."""
        if self.chief:
            yield path
            return
        with tempfile.TemporaryDirectory() as beside:
            yield Path(beside)

    def scope(self):
        """Within it network, loss and optimizer are built, and the network is trained."""
        return contextlib.nullcontext()

    def prepare(self, model: keras.Model) -> None:
        """Readies a compiled network for training."""

    def agree(self, number: int, what: str) -> None:
        """Raises ValueError, in every worker, where the workers do not all have the same number."""

    def feed(self, batches: AugmentedBatches):
        """What `fit` takes."""
        return batches

    def check(self, batch_size: int) -> None:
        """Raises ValueError where a batch cannot be cut into equal shares."""
        if batch_size % self.replicas:
            raise ValueError(
                f"a batch must be a multiple of the {self.replicas} devices. Received {batch_size}; "
                f"--batch-size {-(-batch_size // self.replicas) * self.replicas} is right"
            )


class _Jax(Distribution):
    """Keras' distribution: the weights on every device, batches cut by JAX, which then computes as on one device."""

    def __init__(self):
        self._parallel = keras.distribution.DataParallel()
        self.replicas = len(keras.distribution.list_devices())

    def scope(self):
        return self._parallel.scope()


class _TensorFlow(Distribution):
    """tf.distribute on the devices of this machine, and on those of the other workers of TF_CONFIG."""

    def __init__(self, workers: int):
        import tensorflow as tf

        self.workers = workers
        if workers > 1:
            self._strategy = tf.distribute.MultiWorkerMirroredStrategy()
        else:
            devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
            self._strategy = tf.distribute.MirroredStrategy([device.name for device in devices])
        self.replicas = self._strategy.num_replicas_in_sync
        self.chief = workers == 1 or self._strategy.cluster_resolver.task_id == 0

    def scope(self):
        return self._strategy.scope()

    def prepare(self, model: keras.Model) -> None:
        """Batch statistics over the whole batch, as on one device; and two things that Keras 3.15 lacks for workers.

        Its `fit` cannot reduce a first batch of several workers (it does without where the model does not remember the
        strategy and takes the one in scope), and means of workers are taken over an axis that its scalars do not have.
        """
        import tensorflow as tf

        for layer in model._flatten_layers():
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.synchronized = True
        if self.workers == 1:
            return
        model._distribute_strategy = None
        step = model.train_step
        model.train_step = lambda data: {name: tf.reshape(value, (1,)) for name, value in step(data).items()}

    def agree(self, number: int, what: str) -> None:
        import tensorflow as tf

        if self.workers == 1:
            return

        mine = np.zeros(self.workers, np.float32)
        mine[self._strategy.cluster_resolver.task_id] = self.workers * number  # the mean over replicas has all numbers

        @tf.function
        def gathered():
            context = tf.distribute.get_replica_context()
            return context.all_reduce(tf.distribute.ReduceOp.MEAN, tf.constant(mine))

        shared = self._strategy.experimental_local_results(self._strategy.run(gathered))[0]
        found = sorted({round(float(one)) for one in shared.numpy()})
        if len(found) > 1:
            raise ValueError(
                f"the workers do not go on from the same place. Received {' and '.join(map(str, found))} {what}; "
                "all of them must see one and the same --save-path"
            )

    def feed(self, batches: AugmentedBatches):
        """A data set on each worker that makes the shares of its own devices, one after the other."""
        import tensorflow as tf

        first = batches.shard(0, 0, self.replicas)
        arrays = keras.tree.flatten(first)

        def of_worker(context) -> tf.data.Dataset:
            devices = self.replicas // context.num_input_pipelines

            def make(number: np.int64) -> list[np.ndarray]:
                step, device = divmod(int(number), devices)
                share = batches.shard(step, context.input_pipeline_id * devices + device, self.replicas)
                return [keras.ops.convert_to_numpy(array) for array in keras.tree.flatten(share)]

            def load(number):
                made = tf.numpy_function(make, [number], [array.dtype for array in arrays], stateful=False)
                made = [tf.ensure_shape(one, array.shape) for one, array in zip(made, arrays, strict=True)]
                return keras.tree.pack_sequence_as(first, made)

            numbers = tf.data.Dataset.range(np.iinfo(np.int64).max)
            return numbers.map(load, num_parallel_calls=batches.workers, deterministic=True).prefetch(2 * devices)

        return self._strategy.distribute_datasets_from_function(of_worker)


def worker_lost(error: Exception) -> bool:
    """Whether an error means that another worker is gone, or not there yet."""
    return _workers() > 1 and type(error).__name__ in LOST
