"""Distributions of a training over the devices of one machine."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np

from training.batches import AugmentedBatches


class Distribution:
    """One device; the others override what differs.

    Attributes:
        workers: processes that train together.
        replicas: devices of all of them, between which a batch is split.
        chief: whether this process writes the run.
    """

    workers, replicas, chief = 1, 1, True

    @contextlib.contextmanager
    def folder(self, path: Path) -> Iterator[Path]:
        """Yield where this process writes the run at `path`."""
        yield path

    def resumes(self, path: Path, resume: bool) -> bool:
        """Return whether to resume the run at `path`, from what the user has asked for."""
        return resume

    def scope(self):
        """Return a context in which network, loss and optimizer are built, and the network is trained."""
        return contextlib.nullcontext()

    def prepare(self, model: keras.Model) -> None:
        """Prepare a compiled network for training."""

    def check_epochs(self, done: int, path: Path) -> None:
        """Raise ValueError, in every worker, unless all have the same number of finished epochs at `path`."""

    def feed(self, batches: AugmentedBatches):
        """Return the data for `fit`."""
        return batches

    def check_batch_size(self, batch_size: int) -> None:
        """Raise ValueError if a batch cannot be split equally."""
        if batch_size % self.replicas:
            raise ValueError(
                f"a batch must be a multiple of the {self.replicas} devices. Received {batch_size}; "
                f"--batch-size {-(-batch_size // self.replicas) * self.replicas} would be one"
            )


class JaxDataParallel(Distribution):
    """Keras' distribution: weights on every device, batches split by JAX, which then computes as on one device."""

    def __init__(self):
        self._parallel = keras.distribution.DataParallel()
        self.replicas = len(keras.distribution.list_devices())

    def scope(self):
        return self._parallel.scope()


class Mirrored(Distribution):
    """tf.distribute on the devices of this machine."""

    def __init__(self):
        self._strategy = self._make_strategy()
        self.replicas = self._strategy.num_replicas_in_sync

    def _make_strategy(self):
        import tensorflow as tf

        devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
        return tf.distribute.MirroredStrategy([device.name for device in devices])

    def scope(self):
        return self._strategy.scope()

    def prepare(self, model: keras.Model) -> None:
        """Take BatchNorm's statistics over the whole batch, as on one device."""
        for layer in model._flatten_layers():
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.synchronized = True

    def feed(self, batches: AugmentedBatches):
        """Return a data set that makes, on each worker, the shards of its own devices, one after the other."""
        import tensorflow as tf

        first = batches.shard(0, 0, self.replicas)
        arrays = keras.tree.flatten(first)

        def worker_dataset(context) -> tf.data.Dataset:
            devices = self.replicas // context.num_input_pipelines

            def make(number: np.int64) -> list[np.ndarray]:
                step, device = divmod(int(number), devices)
                shard = batches.shard(step, context.input_pipeline_id * devices + device, self.replicas)
                return [keras.ops.convert_to_numpy(array) for array in keras.tree.flatten(shard)]

            def load(number):
                made = tf.numpy_function(make, [number], [array.dtype for array in arrays], stateful=False)
                made = [tf.ensure_shape(one, array.shape) for one, array in zip(made, arrays, strict=True)]
                return keras.tree.pack_sequence_as(first, made)

            numbers = tf.data.Dataset.range(np.iinfo(np.int64).max)
            return numbers.map(load, num_parallel_calls=batches.workers, deterministic=True).prefetch(2 * devices)

        return self._strategy.distribute_datasets_from_function(worker_dataset)
