"""Adversarial training (Sec. 3): a discriminator learns which shapes are true faces, and adds a term to the loss.

The discriminator takes one step for every DETECTOR_STEPS steps of the detector, each of which sees its own batch. So a
detector with a discriminator takes as many steps on as many faces as one without.
"""

import keras
from keras import layers, ops

from networks.vgg import dense_block
from pixelwise.losses import class_soft_argmax
from pixelwise.targets import from_pixels, to_pixels

DISCRIMINATOR_UNITS = (128, 128)
DISCRIMINATOR_RATE = 1e-4  # learning rate of its Adam, the paper's
DETECTOR_STEPS = 2  # for each step of the discriminator


def build_discriminator(outputs: int, bn_momentum: float = 0.9) -> keras.Model:
    """Build a network from flat targets (batch, outputs) to the logit (batch, 1) of being a true face.

    It has 34,689 parameters for 136 outputs.
    """
    shape = keras.Input((outputs,), name="shape")
    features = shape
    for units in DISCRIMINATOR_UNITS:
        features = dense_block(features, units, bn_momentum)
    return keras.Model(shape, layers.Dense(1, dtype="float32", name="logit")(features), name="discriminator")


def soft_shapes(log_probabilities):
    """Return the shapes (batch, 2 * points), flat targets, of a classifying network's output, with a gradient."""
    return from_pixels(class_soft_argmax(log_probabilities), log_probabilities.shape[1])


def discriminator_loss(true_logits, predicted_logits):
    """Return -(E log D(true) + E log(1 - D(predicted))), D the sigmoid of the logits."""
    return ops.mean(ops.softplus(-true_logits)) + ops.mean(ops.softplus(predicted_logits))


def face_loss(predicted_logits):
    """Return -E log D(predicted), which is small if predicted shapes pass for true faces."""
    return ops.mean(ops.softplus(-predicted_logits))


class Adversarial(keras.Model):
    """A detector and its discriminator, which `fit` trains instead of the detector alone.

    Args:
        network: the compiled detector, which is validated and saved.
        outputs: numbers of a shape, 2 * points.

    Raises:
        ValueError: Keras runs on another backend than TensorFlow.
    """

    def __init__(self, network: keras.Model, outputs: int):
        if keras.backend.backend() != "tensorflow":
            raise ValueError(
                f"a discriminator is trained with TensorFlow only. Received {keras.backend.backend()!r}; "
                "unset KERAS_BACKEND, or choose the method without a discriminator"
            )
        super().__init__(name="adversarial")
        self.network, self.discriminator = network, build_discriminator(outputs)
        self.compile(network.optimizer, network.loss, jit_compile=network.jit_compile)
        self.discriminator_optimizer = keras.optimizers.Adam(DISCRIMINATOR_RATE)
        self.discriminator_optimizer.build(self.discriminator.trainable_variables)
        self.optimizers = [network.optimizer, self.discriminator_optimizer]
        self.face_tracker = keras.metrics.Mean(name="face_loss")
        self.discriminator_tracker = keras.metrics.Mean(name="discriminator_loss")
        self.build((None, *network.input_shape[1:]))

    def build(self, input_shape):
        self.built = True  # both networks are

    def call(self, images, training=None):
        return self.network(images, training=training)

    def train_step(self, data):
        import tensorflow as tf

        images, truth, _ = keras.utils.unpack_x_y_sample_weight(data)
        with tf.GradientTape() as tape:
            maps = self.network(images, training=True)
            shapes = soft_shapes(maps)
            tf.cond(
                tf.equal(self.optimizer.iterations % DETECTOR_STEPS, 0),
                lambda: self._train_discriminator(truth, tf.stop_gradient(shapes)),
                lambda: tf.constant(False),
            )
            face = face_loss(self.logits(truth, shapes)[1])
            loss = self.compute_loss(images, truth, maps, training=True)
            total = loss + face
        variables = self.network.trainable_variables
        self.optimizer.apply(tape.gradient(total, variables), variables)
        self._loss_tracker.update_state(loss)
        self.face_tracker.update_state(face)
        return self.get_metrics_result()

    def _train_discriminator(self, truth, shapes):
        """Take one step of the discriminator."""
        import tensorflow as tf

        with tf.GradientTape() as tape:
            loss = discriminator_loss(*self.logits(truth, shapes))
        variables = self.discriminator.trainable_variables
        self.discriminator_optimizer.apply(tape.gradient(loss, variables), variables)
        self.discriminator_tracker.update_state(loss)
        return tf.constant(True)

    def logits(self, truth, shapes):
        """Return the logits of true and of predicted shapes, both flat targets (batch, outputs).

        They form one batch, since otherwise BatchNorm's statistics would distinguish them. True landmarks outside the
        crop, which no map can predict, are clipped to its nearest pixel.
        """
        side = self.network.output_shape[1]
        within = from_pixels(ops.clip(to_pixels(ops.cast(truth, shapes.dtype), side), 0, side - 1), side)
        both = ops.concatenate([within, shapes])
        return ops.split(self.discriminator(both, training=True), 2)
