"""The state of a training run on disk, and the moving average of its weights."""

import json
import os
from pathlib import Path

import keras
import numpy as np

from config import STATE_FILE
from utils.files import atomic_write


class TrainingState:
    """The complete state of a run in one file: weights, optimizer with moments and averages, random seeds, the log.

    One file, written atomically, so that weights and log are never of different epochs. The arrays are stored by
    position; a resumed run first builds the same model from the same settings. (`BackupAndRestore` of Keras does not
    restore bit for bit on all backends.)

    Args:
        folder: of the run.
        model: what `fit` trains.

    Attributes:
        rows: one row of the log for each finished epoch.
    """

    def __init__(self, folder: str | os.PathLike, model: keras.Model):
        self.path = Path(folder) / STATE_FILE
        self.model = model
        self.rows: list[dict] = []

    def _variables(self) -> list[keras.Variable]:
        optimizers = getattr(self.model, "optimizers", [self.model.optimizer])  # see methods.Method.wrap
        return [*self.model.variables, *(variable for optimizer in optimizers for variable in optimizer.variables)]

    def save(self) -> None:
        """Write the state, atomically."""
        arrays = {f"v{i}": keras.ops.convert_to_numpy(variable) for i, variable in enumerate(self._variables())}
        with atomic_write(self.path) as temporary, open(temporary, "wb") as file:
            np.savez(file, rows=json.dumps(self.rows), **arrays)

    def load(self, folder: str | os.PathLike) -> None:
        """Restore the model and its optimizer from the state in a folder.

        Raises:
            ValueError: the file is broken or of another model.
        """
        path = Path(folder) / STATE_FILE
        try:
            with np.load(path, allow_pickle=False) as file:
                rows = json.loads(str(file["rows"]))
                arrays = [file[f"v{i}"] for i in range(len(file.files) - 1)]
        except Exception as error:  # zipfile, zlib, struct and NumPy each raise their own kind on a broken file
            raise ValueError(f"{path} is not a training state: {error}") from error
        variables = self._variables()
        shapes, expected = [a.shape for a in arrays], [tuple(v.shape) for v in variables]
        if shapes != expected:
            raise ValueError(
                f"{path} is the state of another model. Received {len(shapes)} arrays; "
                f"expected {len(expected)} of this model's shapes"
            )
        for variable, array in zip(variables, arrays, strict=True):
            variable.assign(array)
        self.rows = rows

    @property
    def best(self) -> dict | None:
        """The finished epoch of the lowest validation NME."""
        return min(self.rows, key=lambda row: row["val_nme"], default=None)


class EMAWeights:
    """A second copy of the network with the moving average of its weights, which is validated and published.

    (`SwapEMAWeights` of Keras swaps in place; validation needs a float32 copy.)

    Args:
        trained: the network that is trained.
        copy: another one like it, in float32.
    """

    def __init__(self, trained: keras.Model, copy: keras.Model):
        self.trained, self.model = trained, copy

    def copy_current(self) -> keras.Model:
        """Copy the current weights, not averaged; return the copy."""
        self.model.set_weights(self.trained.get_weights())
        return self.model

    def copy_ema(self) -> keras.Model:
        """Copy the current averages, or the weights themselves if the recipe has no average; return the copy."""
        steps = keras.ops.convert_to_numpy(self.trained.optimizer.iterations)
        if not steps:  # there is no average before the first step
            return self.copy_current()
        weights = self.trained.get_weights()
        self.trained.optimizer.finalize_variable_values(self.trained.trainable_variables)  # the way of all backends
        self.copy_current()
        self.trained.set_weights(weights)
        return self.model

    def save(self, path: str | os.PathLike) -> None:
        """Write the copy as a .keras file, atomically."""
        with atomic_write(path) as temporary:
            self.model.save(temporary)
