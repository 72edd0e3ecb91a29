"""Networks with random weights, and what they predict."""

import keras
import numpy as np
from keras import layers

TOLERANCE = 1e-5


def predict(model, images):
    return keras.ops.convert_to_numpy(model(images, training=False))


def images_for(model, seed=0):
    return np.random.default_rng(seed).random((2, *model.input_shape[1:]), dtype="float32")


def randomise(model, seed=0):
    """Different numbers in every array, so that an exchanged one shows; BatchNorm keeps the signal in range."""
    rng = np.random.default_rng(seed)
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.set_weights([rng.uniform(0.5, 1.5, array.shape) for array in layer.get_weights()])
    return model


def small_network():
    """Every kind of layer that MobileNetV2 and EfficientNet have, on 16 x 16 pixels."""
    image = keras.Input((16, 16, 3), name="input_1")
    x = layers.Conv2D(4, 3, strides=2, padding="same", use_bias=False, name="stem_conv")(image)
    x = layers.BatchNormalization(momentum=0.9, name="stem_bn")(x)
    stem = layers.ReLU(6.0, name="stem_relu")(x)
    x = layers.ZeroPadding2D(((1, 1), (1, 1)), name="pad")(stem)
    x = layers.DepthwiseConv2D(3, padding="valid", use_bias=False, name="dwconv")(x)
    x = layers.BatchNormalization(name="bn")(x)
    x = layers.Activation("silu", name="activation")(x)
    squeezed = layers.GlobalAveragePooling2D(name="se_squeeze")(x)
    squeezed = layers.Reshape((1, 1, 4), name="se_reshape")(squeezed)
    squeezed = layers.Conv2D(2, 1, activation="silu", name="se_reduce")(squeezed)
    squeezed = layers.Conv2D(4, 1, activation="sigmoid", name="se_expand")(squeezed)
    x = layers.Multiply(name="se_excite")([x, squeezed])
    x = layers.Dropout(0.2, noise_shape=(None, 1, 1, 1), name="drop")(x)
    x = layers.Add(name="add")([x, stem])
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    x = layers.Dropout(0.1, name="dropout")(x)
    return randomise(keras.Model(image, layers.Dense(6, name="O_L")(x)))
