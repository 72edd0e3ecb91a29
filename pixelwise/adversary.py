"""The discriminator (Sec. 3): a second network that learns which shapes are true faces, and teaches the detector.

One step of the discriminator goes with DETECTOR_STEPS steps of the detector. Each of these sees a batch of its own, so
that a detector with a discriminator takes as many steps on as many faces as one without.
"""

import keras
from keras import layers, ops

from networks.vgg import dense_block
from pixelwise.losses import class_soft_argmax
from pixelwise.targets import from_pixels, to_pixels

DISCRIMINATOR_UNITS = (128, 128)
DISCRIMINATOR_RATE = 1e-4  # of its Adam, the paper's
DETECTOR_STEPS = 2  # for each step of the discriminator


def build_discriminator(outputs: int, bn_momentum: float = 0.9) -> keras.Model:
    """Flat targets (batch, outputs) to the logit (batch, 1) of being a true face; 34,689 parameters for 136."""
    shape = keras.Input((outputs,), name="shape")
    features = shape
    for units in DISCRIMINATOR_UNITS:
        features = dense_block(features, units, bn_momentum)
    return keras.Model(shape, layers.Dense(1, dtype="float32", name="logit")(features), name="discriminator")


def soft_shapes(log_probabilities):
    """The shape (batch, 2 * points), flat targets, that a classifying network's output stands for, with a gradient."""
    return from_pixels(class_soft_argmax(log_probabilities), log_probabilities.shape[1])


def discriminator_loss(true_logits, found_logits):
    """-(E log D(true) + E log(1 - D(found))), D the sigmoid of the logits."""
    return ops.mean(ops.softplus(-true_logits)) + ops.mean(ops.softplus(found_logits))


def face_loss(found_logits):
    """-E log D(found): small where shapes pass for true faces."""
    return ops.mean(ops.softplus(-found_logits))


class Adversarial(keras.Model):
    """What `fit` trains in the place of a compiled detector: the detector and its discriminator.

    network: the detector, which is validated and kept. optimizers: of the detector, its own, and of the discriminator.

    Raises:
        ValueError: Keras runs on another backend than TensorFlow.
    """

    def __init__(self, network: keras.Model, outputs: int):
        if keras.backend.backend() != "tensorflow":
            raise ValueError(
                f"a discriminator is trained with TensorFlow only. Received {keras.backend.backend()!r}; "
                "unset KERAS_BACKEND, or take the method without one"
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
                lambda: self._discriminate(truth, tf.stop_gradient(shapes)),
                lambda: tf.constant(False),
            )
            face = face_loss(self._judge(truth, shapes)[1])
            loss = self.compute_loss(images, truth, maps, training=True)
            total = loss + face
        variables = self.network.trainable_variables
        self.optimizer.apply(tape.gradient(total, variables), variables)
        self._loss_tracker.update_state(loss)
        self.face_tracker.update_state(face)
        return self.get_metrics_result()

    def _discriminate(self, truth, shapes):
        """One step of the discriminator."""
        import tensorflow as tf

        with tf.GradientTape() as tape:
            loss = discriminator_loss(*self._judge(truth, shapes))
        variables = self.discriminator.trainable_variables
        self.discriminator_optimizer.apply(tape.gradient(loss, variables), variables)
        self.discriminator_tracker.update_state(loss)
        return tf.constant(True)

    def _judge(self, truth, shapes):
        """Logits of true and of found shapes. They pass together, so that BatchNorm cannot tell them apart for it; and
        true landmarks outside the crop, where no map can find them, are moved to its nearest pixel."""
        side = self.network.output_shape[1]
        within = from_pixels(ops.clip(to_pixels(ops.cast(truth, shapes.dtype), side), 0, side - 1), side)
        both = ops.concatenate([within, shapes])
        return ops.split(self.discriminator(both, training=True), 2)
