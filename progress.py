"""A progress bar over a whole training run, with the time left always on screen."""

import keras
from tqdm import tqdm


class Progress(keras.callbacks.Callback):
    """One bar over all steps of the run, and one line for each finished epoch."""

    def __init__(self, epochs: int, steps: int, done: int, measure: str, normaliser: str):
        super().__init__()
        self.epochs, self.steps, self.done = epochs, steps, done
        self.measure, self.normaliser = measure, normaliser

    def on_train_begin(self, logs=None):
        self._bar = tqdm(total=self.epochs * self.steps, initial=self.done * self.steps, unit="step", smoothing=0.05)

    def on_train_batch_end(self, batch, logs=None):
        self._bar.update(self.model.steps_per_execution)
        self._bar.set_postfix_str(f"loss {logs['loss']:.5f}", refresh=False)

    def on_epoch_end(self, epoch, logs=None):
        error = f"validation {self.measure} {logs['val_nme']:.3f} % ({self.normaliser})"
        self._bar.write(f"epoch {epoch + 1}/{self.epochs}: loss {logs['loss']:.6f}, {error}")

    def on_train_end(self, logs=None):
        self._bar.close()
