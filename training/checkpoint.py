"""The state of a training run on disk, and the moving average of its weights."""

import json
import os
from pathlib import Path

import keras
import numpy as np

from config import STATE_FILE
from utils.files import atomic_write


class TrainingState:
    """The whole state of a run in one file: weights, optimizer with its moments and averages, random seeds, the log.

    One file, renamed into place, so that weights and log can never be of different epochs. The arrays are stored by
    position; a resumed run builds the same model from the same settings first.
    """

    def __init__(self, folder: str | os.PathLike, model: keras.Model):
        self.path = Path(folder) / STATE_FILE
        self.model = model
        self.rows: list[dict] = []  # one row of the log for each finished epoch

    def _variables(self) -> list[keras.Variable]:
        optimizers = getattr(self.model, "optimizers", [self.model.optimizer])  # see methods.Method.wrap
        return [*self.model.variables, *(variable for optimizer in optimizers for variable in optimizer.variables)]

    def save(self) -> None:
        """Writes the state, whole or not at all."""
        arrays = {f"v{i}": keras.ops.convert_to_numpy(variable) for i, variable in enumerate(self._variables())}
        with atomic_write(self.path) as temporary, open(temporary, "wb") as file:
            np.savez(file, rows=json.dumps(self.rows), **arrays)

    def load(self, folder: str | os.PathLike) -> None:
        """Puts the state stored in a folder into the model and its optimizer.

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
                f"{len(expected)} of this model's shapes are right"
            )
        for variable, array in zip(variables, arrays, strict=True):
            variable.assign(array)
        self.rows = rows

    @property
    def best(self) -> dict | None:
        """The finished epoch of the lowest validation NME."""
        return min(self.rows, key=lambda row: row["val_nme"], default=None)


class EMAWeights:
    """A second copy of the network that holds the moving average of the weights: what is validated and shipped."""

    def __init__(self, trained: keras.Model, copy: keras.Model):
        self.trained, self.model = trained, copy

    def present(self) -> keras.Model:
        """Copies the weights as they are, not averaged; returns the copy."""
        self.model.set_weights(self.trained.get_weights())
        return self.model

    def update(self) -> keras.Model:
        """Copies the present averages, or the weights themselves where the recipe averages none; returns the copy."""
        steps = keras.ops.convert_to_numpy(self.trained.optimizer.iterations)
        if not steps:  # before the first there is no average yet
            return self.present()
        weights = self.trained.get_weights()
        self.trained.optimizer.finalize_variable_values(self.trained.trainable_variables)  # only there on all backends
        self.present()
        self.trained.set_weights(weights)
        return self.model

    def save(self, path: str | os.PathLike) -> None:
        """Writes the copy as a .keras file, whole or not at all."""
        with atomic_write(path) as temporary:
            self.model.save(temporary)
