"""ACR Loss: adaptive coordinate-based regression loss (Fard & Mahoor, ICPR 2022).

A face's Smooth-Face is its reconstruction by a PCA of training shapes. Where the true landmark is far from it the
coordinate is hard (phi near 1) and the loss is steep for small errors; where it is close the coordinate is easy (phi
near 0) and the loss is flat:

    phi    = |smooth - face| / max |smooth - face|             the maximum over the 2N coordinates of the same face
    delta  = |face - predicted|
    L      = lambda * ln(1 + delta ^ (2 - phi))                for delta <= 1
    L      = delta ^ 2 + C                                     for delta > 1; C joins the branches

In these units an error of 3 pixels of 224 is a delta of 0.013, where the gradient of a coordinate with phi = 1 is 37
times that of one with phi = 0: a few coordinates get much of the gradient, and the others are trained nearly as by L2.
The method `acr_pixels` is our smallest change against that: delta is the error over `unit`, 10 pixels of 224, and the
upper branch is the tangent of the lower one, lambda (ln 2 + (1 - phi / 2) (delta - 1)). At 3 pixels the gradient with
phi = 1 is then 1.4 times that with phi = 0, and from 5 pixels on smaller.

All of it is `keras.ops` on flat vectors (batch, 2N), so it runs on every backend of Keras.
"""

import keras
import numpy as np
from keras import ops

from config import ACR_LAMBDA, PACKAGE
from pca_utility import ShapeModel

PCA_STARTS = (0, 16, 31, 71, 101)  # first epoch of each percentage
PCA_EPOCHS = 150  # of this many epochs
CONSTANTS = ("continuous", "published", "tangent")
_SAME = 1e-6  # a maximum below this is rounding: the face equals its Smooth-Face, and no coordinate is hard


def difficulty(face, smooth_face):
    """Return phi, the difficulty of every coordinate.

    Args:
        face: (batch, 2N).
        smooth_face: (batch, 2N), its Smooth-Face.

    Returns:
        (batch, 2N) in [0, 1]; the hardest coordinate of a face is 1. All 0 if face and Smooth-Face are equal.
    """
    distance = ops.abs(ops.convert_to_tensor(smooth_face) - ops.convert_to_tensor(face))  # (batch, 2N)
    largest = ops.max(distance, axis=-1, keepdims=True)  # (batch, 1)
    return ops.where(largest > _SAME, distance / ops.maximum(largest, _SAME), ops.zeros_like(distance))


def acr_loss(y_true, y_pred, phi, lambda_weight=ACR_LAMBDA, constant="continuous", unit=1.0):
    """Return ACR Loss of every face.

    Args:
        y_true: (batch, 2N), interleaved normalised coordinates.
        y_pred: (batch, 2N), the same.
        phi: (batch, 2N), see `difficulty`.
        lambda_weight: lambda; the paper's value is unknown. 2 makes the slope continuous at delta = 1 for phi = 0.
        constant: "continuous" takes C = lambda ln 2 - 1, which joins the branches; "published" C = phi ln 2 - 1;
            "tangent" replaces the upper branch by a straight line of the same value and slope at delta = 1.
        unit: the error, in normalised coordinates, at which delta = 1.

    Returns:
        (batch,): the mean over the coordinates of each face.

    Raises:
        ValueError: an unknown constant, or a unit that is not above 0.
    """
    _check(constant, unit)
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


def _check(constant, unit):
    if constant not in CONSTANTS:
        raise ValueError(f"unknown constant C. Received constant={constant!r}; expected one of {CONSTANTS}")
    if not unit > 0:
        raise ValueError(f"unit is the error that counts as 1, above 0. Received {unit}")


@keras.saving.register_keras_serializable(PACKAGE)
class Percentage(keras.metrics.Metric):
    """The percentage of shape variance in use, as a metric that holds the stage of an ACRLoss.

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
        """Do nothing: a batch does not change the stage."""

    def reset_state(self):
        """Do nothing: the end of an epoch does not change the stage."""

    def result(self):
        """Return the percentage of the current stage."""
        return ops.take(ops.convert_to_tensor(self.percentages, dtype="float32"), self.stage)

    def get_config(self):
        return {**super().get_config(), "percentages": self.percentages}


@keras.saving.register_keras_serializable(PACKAGE)
class ACRLoss(keras.losses.Loss):
    """ACR Loss that computes phi in the graph from `y_true` alone, so that an augmented face has its own difficulty.

    ```python
    delta = abs(y_true - y_pred) / unit
    loss = lambda_weight * log(1 + delta ** (2 - phi))  if delta <= 1  else  delta**2 + C
    ```

    Args:
        shape_models: one fitted `ShapeModel` for each stage, in the order in which training uses them.
        lambda_weight: see `acr_loss`.
        constant: see `acr_loss`.
        unit: see `acr_loss`.

    Attributes:
        stage: variable with the number of the shape model in use; assigning to it takes effect at the next step.
        metrics: metrics for `compile`, which give the training step the stage.

    Raises:
        ValueError: no shape model, an unknown constant, or a unit that is not above 0.

    Example:

    >>> loss = ACRLoss([ShapeModel(90).fit(labels)])  # labels (faces, 2N)
    >>> model.compile("adam", loss, metrics=loss.metrics)
    """

    def __init__(
        self, shape_models, lambda_weight=ACR_LAMBDA, constant="continuous", unit=1.0, name="acr_loss", **kwargs
    ):
        super().__init__(name=name, **kwargs)
        if not shape_models:
            raise ValueError("ACRLoss needs at least one shape model. Received none; fit them with pca_utility.py")
        _check(constant, unit)  # now, not in the first step of a training
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
        """Return the Smooth-Face (batch, 2N) of faces (batch, 2N) at the current stage: two matrix products."""
        mean = ops.take(self._means, self.stage, axis=0)  # (2N,)
        components = ops.take(self._components, self.stage, axis=0)  # (modes, 2N)
        limits = ops.take(self._limits, self.stage, axis=0)  # (modes,)
        parameters = ops.matmul(face - mean, ops.transpose(components))  # (batch, modes)
        return mean + ops.matmul(ops.clip(parameters, -limits, limits), components)

    def call(self, y_true, y_pred):
        """Return the loss of every face, (batch,), from targets and predictions, both (batch, 2N)."""
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
    """Return mean, components and limits in float32, with empty modes appended so that all stages stack."""
    missing = modes - len(model.components_)
    components = np.pad(model.components_, ((0, missing), (0, 0)))  # (modes, 2N)
    limits = np.minimum(np.pad(model.limits_, (0, missing)), np.finfo(np.float32).max)  # (modes,)
    return model.mean_.astype(np.float32), components.astype(np.float32), limits.astype(np.float32)


def stage_starts(epochs: int) -> list[int]:
    """Return the first epoch of each percentage in a run of `epochs`: the paper's, of 150, in proportion."""
    return [round(start * epochs / PCA_EPOCHS) for start in PCA_STARTS]


class PercentageSchedule(keras.callbacks.Callback):
    """Sets the stage of an ACRLoss at the start of each epoch: 80, 85, 90, 95, 97 % (ACR Loss, training schedule)."""

    def __init__(self, loss: ACRLoss, epochs: int):
        super().__init__()
        self.loss = loss
        self.starts = stage_starts(epochs)[: len(loss.shape_models)]

    def on_epoch_begin(self, epoch, logs=None):
        self.loss.stage.assign(sum(epoch >= start for start in self.starts) - 1)
