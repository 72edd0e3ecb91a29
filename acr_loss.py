"""ACR Loss: adaptive coordinate-based regression loss (Fard & Mahoor, ICPR 2022).

A face's Smooth-Face is what a PCA of training shapes keeps of it. Where the true landmark departs from it the
coordinate is hard (phi near 1) and the loss is steep for small errors; where it agrees the coordinate is easy (phi near
0) and the loss is flat:

    phi    = |smooth - face| / max |smooth - face|             the maximum over the 2N coordinates of the same face
    delta  = |face - predicted|
    L      = lambda * ln(1 + delta ^ (2 - phi))                for delta <= 1
    L      = delta ^ 2 + C                                     for delta > 1; C joins the branches

In these units an error of 3 pixels of 224 is a delta of 0.013, where a coordinate with phi = 1 pulls 37 times as hard
as one with phi = 0: a few coordinates get much of the gradient, and the others are trained nearly as by L2. The method
`acr_pixels` is our smallest change against that: delta is the error over `unit`, 10 pixels of 224, and the upper branch
is the tangent of the lower one, lambda (ln 2 + (1 - phi / 2) (delta - 1)). At 3 pixels phi = 1 then pulls 1.4 times as
hard as phi = 0, and from 5 pixels on less.

All of it is `keras.ops` on flat vectors (batch, 2N), so it runs on every backend of Keras.
"""

import keras
import numpy as np
from keras import ops

from config import (
    ACR_LAMBDA,
    PACKAGE,
)
from pca_utility import ShapeModel

PCA_STARTS = (0, 16, 31, 71, 101)  # first epoch of each percentage
PCA_EPOCHS = 150  # of this many epochs


CONSTANTS = ("continuous", "published", "tangent")
_SAME = 1e-6  # a largest departure below this is rounding: the face is its own Smooth-Face, and nothing is hard


def difficulty(face, smooth_face):
    """Phi, the difficulty of every coordinate, from faces and their Smooth-Faces, both (batch, 2N).

    Returns:
        (batch, 2N) in [0, 1]; the hardest coordinate of a face is 1. All 0 where face and Smooth-Face are equal.
    """
    departure = ops.abs(ops.convert_to_tensor(smooth_face) - ops.convert_to_tensor(face))  # (batch, 2N)
    largest = ops.max(departure, axis=-1, keepdims=True)  # (batch, 1)
    return ops.where(largest > _SAME, departure / ops.maximum(largest, _SAME), ops.zeros_like(departure))


def acr_loss(y_true, y_pred, phi, lambda_weight=ACR_LAMBDA, constant="continuous", unit=1.0):
    """ACR Loss of every face.

    Args:
        y_true, y_pred, phi: (batch, 2N), interleaved coordinates in normalised units.
        lambda_weight: lambda; the paper's value is unknown. 2 makes the slope continuous at delta = 1 for phi = 0.
        constant: "continuous" takes C = lambda ln 2 - 1, which joins the branches; "published" C = phi ln 2 - 1;
            "tangent" puts a straight line, of the same value and slope at delta = 1, in the place of the upper branch.
        unit: the error, in normalised units, that counts as delta = 1.

    Returns:
        (batch,): the mean over the coordinates of each face.

    Raises:
        ValueError: an unknown constant, or a unit that is not above 0.
    """
    if constant not in CONSTANTS:
        raise ValueError(f"unknown constant C. Received constant={constant!r}; one of {CONSTANTS} is right")
    if not unit > 0:
        raise ValueError(f"unit is the error that counts as 1. Received {unit}; above 0 is right")
    y_pred = ops.convert_to_tensor(y_pred)
    phi = ops.stop_gradient(ops.cast(phi, y_pred.dtype))
    delta = ops.abs(ops.cast(y_true, y_pred.dtype) - y_pred) / unit
    log_two = float(np.log(2.0))
    near = lambda_weight * ops.log1p(ops.power(delta, 2.0 - phi))
    if constant == "tangent":
        far = lambda_weight * (log_two + (1.0 - phi / 2.0) * (delta - 1.0))
    else:
        far = ops.square(delta) + (lambda_weight if constant == "continuous" else phi) * log_two - 1.0
    return ops.mean(ops.where(delta <= 1.0, near, far), axis=-1)


@keras.saving.register_keras_serializable(PACKAGE)
class Percentage(keras.metrics.Metric):
    """The percentage of shape variance in use, as a metric: it holds the stage of an ACRLoss, and logs show it.

    Keras hands a metric's variables through the compiled training step on every backend, so the stage can change
    between epochs without a new trace; a variable of the loss alone would be frozen into JAX's trace.

    Args:
        percentages: one for each stage.
    """

    def __init__(self, percentages, name="percentage", **kwargs):
        super().__init__(name=name, **kwargs)
        self.percentages = [float(percentage) for percentage in percentages]
        self.stage = self.add_variable(  # not a sum over devices, which is what a metric's variables are by default
            (), initializer="zeros", dtype="int32", aggregation="only_first_replica", name="stage"
        )

    def update_state(self, y_true, y_pred, sample_weight=None):
        """A batch changes nothing."""

    def reset_state(self):
        """An epoch's end changes nothing."""

    def result(self):
        """The percentage of the present stage."""
        return ops.take(ops.convert_to_tensor(self.percentages, dtype="float32"), self.stage)

    def get_config(self):
        return {**super().get_config(), "percentages": self.percentages}


@keras.saving.register_keras_serializable(PACKAGE)
class ACRLoss(keras.losses.Loss):
    """ACR Loss that finds phi in the graph from `y_true` alone, so that a moved face has its own difficulty.

    Args:
        shape_models: one fitted `ShapeModel` for each stage, in the order in which training uses them.
        lambda_weight, constant, unit: see `acr_loss`.

    Attributes:
        stage: the variable that says which shape model is in use; assigning to it takes effect at the next step.
        metrics: what `compile` must be given beside the loss, so that the step sees the stage.
    """

    def __init__(
        self, shape_models, lambda_weight=ACR_LAMBDA, constant="continuous", unit=1.0, name="acr_loss", **kwargs
    ):
        super().__init__(name=name, **kwargs)
        if not shape_models:
            raise ValueError("ACRLoss needs at least one shape model. Received none; fit them with pca_utility.py")
        self.shape_models = list(shape_models)
        self.lambda_weight = lambda_weight
        self.constant = constant
        self.unit = unit
        self.metrics = [Percentage([model.percentage for model in self.shape_models])]
        self.stage = self.metrics[0].stage
        modes = max(len(model.components_) for model in self.shape_models)
        padded = [_pad(model, modes) for model in self.shape_models]
        self._means, self._components, self._limits = (np.stack(arrays) for arrays in zip(*padded, strict=True))

    def smooth_face(self, face):
        """The Smooth-Face (batch, 2N) of faces (batch, 2N) at the present stage: two matrix products."""
        mean = ops.take(self._means, self.stage, axis=0)  # (2N,)
        components = ops.take(self._components, self.stage, axis=0)  # (modes, 2N)
        limits = ops.take(self._limits, self.stage, axis=0)  # (modes,)
        parameters = ops.matmul(face - mean, ops.transpose(components))  # (batch, modes)
        return mean + ops.matmul(ops.clip(parameters, -limits, limits), components)

    def call(self, y_true, y_pred):
        """The loss of every face, (batch,), from (batch, 2N) twice."""
        phi = difficulty(y_true, self.smooth_face(y_true))
        return acr_loss(y_true, y_pred, phi, self.lambda_weight, self.constant, self.unit)

    def get_config(self):
        models = [model.to_dict() for model in self.shape_models]
        own = {"lambda_weight": self.lambda_weight, "constant": self.constant, "unit": self.unit}
        return {**super().get_config(), "shape_models": models, **own}

    @classmethod
    def from_config(cls, config):
        return cls(**{**config, "shape_models": [ShapeModel.from_dict(row) for row in config["shape_models"]]})


def _pad(model: ShapeModel, modes: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean, components and limits in float32, with empty modes added so that the stages stack."""
    missing = modes - len(model.components_)
    components = np.pad(model.components_, ((0, missing), (0, 0)))  # (modes, 2N)
    limits = np.minimum(np.pad(model.limits_, (0, missing)), np.finfo(np.float32).max)  # (modes,)
    return model.mean_.astype(np.float32), components.astype(np.float32), limits.astype(np.float32)


def stage_starts(epochs: int) -> list[int]:
    """First epoch of each percentage in a run of `epochs`: the paper's starts, of 150, in proportion."""
    return [round(start * epochs / PCA_EPOCHS) for start in PCA_STARTS]


class PercentageSchedule(keras.callbacks.Callback):
    """Sets the stage of an ACRLoss at the start of each epoch: 80, 85, 90, 95, 97 % (ACR Loss, training schedule)."""

    def __init__(self, loss: ACRLoss, epochs: int):
        super().__init__()
        self.loss = loss
        self.starts = stage_starts(epochs)[: len(loss.shape_models)]

    def on_epoch_begin(self, epoch, logs=None):
        self.loss.stage.assign(sum(epoch >= start for start in self.starts) - 1)
