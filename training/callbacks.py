"""Callbacks of training: checkpoints, snapshots, progress, and a stop at the first NaN."""

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import keras
import numpy as np
from tqdm import tqdm

from config import BEST_FILE, LOG_FILE
from face_datasets.face_dataset import FaceDataset
from training.batches import AugmentedBatches
from training.checkpoint import EMAWeights, TrainingState
from training.run_record import RunRecord
from utils.files import write_json, write_text

SNAPSHOT_EPOCHS = (0, 1, 2, 3)  # finished epochs after which a snapshot is taken, and after the last


def patience_exhausted(rows: Sequence[dict], patience: int | None) -> bool:
    """Return whether the validation NME of these rows of the log did not fall in the last `patience` epochs."""
    if not patience or not rows:
        return False
    best = min(rows, key=lambda row: float(row["val_nme"]))
    return len(rows) - int(best["epoch"]) >= patience


class Checkpoint(keras.callbacks.Callback):
    """At the end of each epoch: validates the averaged weights, keeps them if they are the best, keeps state and log.

    Args:
        state: of the run.
        averages: the averaged weights.
        validate: maps a model to its validation NME in percent.
        record: of the run; written after the weights of a new best epoch and before the state.
        patience: epochs without a lower validation NME after which training stops; None never stops it.
        snapshots: take the last one if training stops early; None if the run has none.
    """

    def __init__(
        self,
        state: TrainingState,
        averages: EMAWeights,
        validate: Callable[[keras.Model], float],
        record: RunRecord,
        patience: int | None = None,
        snapshots: "Snapshots | None" = None,
    ):
        super().__init__()
        self.state, self.averages, self.validate, self.record = state, averages, validate, record
        self.patience, self.snapshots = patience, snapshots
        self.folder = state.path.parent

    def on_epoch_end(self, epoch, logs=None):
        nme = self.validate(self.averages.copy_ema())
        rate = float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))
        measured = {name: float(value) for name, value in logs.items()}  # the loss, and the metrics of the method
        row = {"epoch": epoch + 1, **measured, "val_nme": nme, "learning_rate": rate}
        best = self.state.best
        self.state.rows.append(row)
        lower = best is None or nme < best["val_nme"]
        if lower:
            self.averages.save(self.folder / BEST_FILE)
        self.record.write(row if lower else None)
        if patience_exhausted(self.state.rows, self.patience):
            if self.snapshots:
                self.snapshots.take(epoch + 1)
            self.model.stop_training = True
        self.state.save()
        write_text(self.folder / LOG_FILE, log_csv(self.state.rows))
        logs["val_nme"] = nme


def log_csv(rows: list[dict]) -> str:
    """Return the log as comma-separated text, a row for each epoch."""
    lines = [",".join(rows[0])] + [",".join(f"{value:.7g}" for value in row.values()) for row in rows]
    return "\n".join(lines) + "\n"


class Snapshots(keras.callbacks.Callback):
    """Keeps the predicted landmarks of one face before training, after the first epochs, and after the last.

    They are predicted with the weights themselves: in the first epochs their averages are still near the
    initialisation. The callback must come before Checkpoint, so that a run killed between the two repeats the epoch and
    writes it again.

    Args:
        path: the file, see `read_snapshots`.
        averages: copies the weights.
        face: the one face, of any split.
        predict: maps a network and faces to landmarks (faces, points, 2) in image pixels.
        done: finished epochs of a resumed run; their snapshots stay.
    """

    def __init__(
        self,
        path: Path,
        averages: EMAWeights,
        face: FaceDataset,
        predict: Callable[[keras.Model, FaceDataset], np.ndarray],
        done: int = 0,
    ):
        super().__init__()
        self.path, self.averages, self.face, self.predict, self.done = path, averages, face, predict, done

    def on_train_begin(self, logs=None):
        self._epochs = read_snapshots(self.path)["epochs"] if self.done and self.path.is_file() else {}
        if not self.done:
            self.take(0)

    def on_epoch_end(self, epoch, logs=None):
        finished = epoch + 1
        if finished in SNAPSHOT_EPOCHS or finished == self.params["epochs"]:
            self.take(finished)

    def take(self, finished: int) -> None:
        """Keep the predicted landmarks after so many epochs; Checkpoint calls it when a run ends early."""
        self._epochs[finished] = self.predict(self.averages.copy_current(), self.face)[0]  # (points, 2)
        epochs = {str(epoch): landmarks.tolist() for epoch, landmarks in self._epochs.items()}
        write_json(
            self.path,
            {"image": self.face.names[0], "landmarks": self.face.landmarks[0].tolist(), "epochs": epochs},
            indent=None,
        )


def read_snapshots(path: str | os.PathLike) -> dict:
    """Return the snapshots of a run.

    Returns:
        "image": name of the face. "landmarks": the true ones, (points, 2) in pixels of the data set's image.
        "epochs": number of finished epochs -> the predicted landmarks, (points, 2).

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file holds no snapshots.
    """
    path = Path(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        truth = np.array(content["landmarks"], np.float64)
        epochs = {int(epoch): np.array(face, np.float64) for epoch, face in content["epochs"].items()}
        fits = truth.ndim == 2 and truth.shape[1] == 2 and all(face.shape == truth.shape for face in epochs.values())
        if not fits or not isinstance(content["image"], str):
            raise ValueError("the landmarks do not fit together")
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise ValueError(f"{path} holds no snapshots of a training. Received {error!r}") from error
    return {"image": content["image"], "landmarks": truth, "epochs": epochs}


class StopOnNaN(keras.callbacks.Callback):
    """Stops training at the first loss that is not finite, and names the faces of that batch."""

    def __init__(self, batches: AugmentedBatches):
        super().__init__()
        self.batches = batches
        self._epoch = 0

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if not np.isfinite(logs["loss"]):
            step = self._epoch * self.batches.steps_per_epoch + batch
            executed = range(step + 1 - self.model.steps_per_execution, step + 1)
            names = dict.fromkeys(name for number in executed for name in self.batches.names(number))
            raise FloatingPointError(
                f"the loss is {logs['loss']} at epoch {self._epoch + 1}, step {step}. The batch's faces: "
                f"{', '.join(names)}"
            )


class Progress(keras.callbacks.Callback):
    """One bar over all steps of the run, and one line for each finished epoch.

    Args:
        epochs: of the run.
        steps: of an epoch.
        done: finished epochs of a resumed run.
        metric: name of the validation error.
        normaliser: of that error.
    """

    def __init__(self, epochs: int, steps: int, done: int, metric: str, normaliser: str):
        super().__init__()
        self.epochs, self.steps, self.done = epochs, steps, done
        self.metric, self.normaliser = metric, normaliser

    def on_train_begin(self, logs=None):
        self._bar = tqdm(total=self.epochs * self.steps, initial=self.done * self.steps, unit="step", smoothing=0.05)

    def on_train_batch_end(self, batch, logs=None):
        self._bar.update(self.model.steps_per_execution)
        self._bar.set_postfix_str(f"loss {logs['loss']:.5f}", refresh=False)

    def on_epoch_end(self, epoch, logs=None):
        error = f"validation {self.metric} {logs['val_nme']:.3f} % ({self.normaliser})"
        self._bar.write(f"epoch {epoch + 1}/{self.epochs}: loss {logs['loss']:.6f}, {error}")

    def on_train_end(self, logs=None):
        self._bar.close()


def tensorboard(folder: Path) -> list[keras.callbacks.Callback]:
    """Return a TensorBoard log, or nothing if the packages that write one are not installed."""
    try:
        import tensorboard  # noqa: F401
        import tensorflow  # noqa: F401
    except ImportError:
        return []
    return [keras.callbacks.TensorBoard(folder / "tensorboard", write_graph=False)]
