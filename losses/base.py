"""The base of losses that give one value a face."""

from collections.abc import Callable

import keras


class FaceLoss(keras.losses.Loss):
    """What makes a loss of Keras of a pure function (targets, predictions, **constants) -> (batch,).

    A class of its own for each function names it as `function`, and its constants with their usual values as arguments.
    `get_config` gives all of them, so that a run's record tells its loss.

    Args:
        constants: name -> number or list of numbers, of the function.
    """

    function: Callable

    def __init__(self, name: str, constants: dict | None = None, **kwargs):
        super().__init__(name=name, **kwargs)
        self.constants = constants or {}

    def call(self, y_true, y_pred):
        return self.function(y_true, y_pred, **self.constants)

    def get_config(self):
        return {**super().get_config(), **self.constants}
