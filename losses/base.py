"""The base of losses with one value for each face."""

from collections.abc import Callable

import keras


class FaceLoss(keras.losses.Loss):
    """A Keras loss made of a pure function (targets, predictions, **constants) -> (batch,).

    A subclass names the function as `function`, and has its constants with their defaults as arguments. `get_config`
    returns all of them, so that the record of a run has the constants of its loss.

    Args:
        name: of the loss.
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
