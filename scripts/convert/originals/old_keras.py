"""Writes the small models of tests/formats/old_keras, each with images and the outputs for them.

Run it in the environment of each old Keras, Python 3.6 for 1.2 and 2.1, 3.9 for 2.11 and 2.12, then 3.10:

    KERAS_BACKEND=theano python old_keras.py keras12_theano OUTPUT
    KERAS_BACKEND=tensorflow python old_keras.py keras12_tensorflow OUTPUT
    python old_keras.py keras21 OUTPUT
    python old_keras.py keras211 OUTPUT
    python old_keras.py keras212 OUTPUT  # and keras213, keras215: .keras files

The programs: keras 1.2.2 with Theano 0.9.0 and with tensorflow 1.8.0, keras 2.1.6 with tensorflow 1.8.0,
tensorflow-cpu 2.11.1, 2.12.1, 2.13.1 and 2.15.1. Weights are random; nothing else is in the files.
"""

import os
import sys

import numpy as np

RANDOM = np.random.RandomState(16)


def keras12_theano():
    """A Sequential in Theano's order, with its mirrored kernels and its own padding."""
    from keras import layers, models

    return models.Sequential(
        [
            layers.ZeroPadding2D((1, 2), input_shape=(3, 13, 12), dim_ordering="th"),
            layers.Convolution2D(
                6, 3, 3, border_mode="same", subsample=(2, 2), bias=False, dim_ordering="th"
            ),
            layers.BatchNormalization(axis=1),
            layers.Activation("relu"),
            layers.MaxPooling2D((2, 2), border_mode="valid", dim_ordering="th"),
            layers.Convolution2D(5, 2, 3, border_mode="same", activation="tanh", dim_ordering="th"),
            layers.LeakyReLU(0.1),
            layers.Dropout(0.5),
            layers.Flatten(),
            layers.Dense(9, activation="hard_sigmoid"),
            layers.Dense(4, activation="softmax"),
        ]
    )


def keras12_tensorflow():
    """A shared layer, and merges by sum and by concatenation."""
    from keras import layers, models

    x = images = layers.Input(shape=(10, 12, 3), name="images")
    shared = layers.Convolution2D(3, 3, 3, border_mode="same", dim_ordering="tf", name="shared")
    first = shared(x)
    second = shared(layers.Activation("relu")(first))
    x = layers.merge([first, second], mode="sum")
    other = layers.SeparableConvolution2D(4, 3, 3, border_mode="same", dim_ordering="tf")(images)
    x = layers.merge([x, layers.ELU(0.5)(other)], mode="concat", concat_axis=-1)
    x = layers.BatchNormalization(axis=-1)(x)
    x = layers.AveragePooling2D((3, 3), strides=(2, 2), border_mode="same", dim_ordering="tf")(x)
    x = layers.Reshape((30, 7))(x)
    x = layers.Permute((2, 1))(x)
    x = layers.Flatten()(x)
    return models.Model(images, layers.Dense(4, activation="sigmoid")(x))


def keras21():
    """A model in a model in a model, the middle one called twice; frozen layers."""
    from keras import layers, models

    inner = models.Sequential(name="inner")
    inner.add(layers.Conv2D(4, 3, padding="same", use_bias=False, input_shape=(8, 8, 4)))
    inner.add(layers.BatchNormalization())
    inner.add(layers.PReLU(shared_axes=[1, 2]))
    inner.layers[0].trainable = False
    x = images = layers.Input((8, 8, 4))
    x = layers.add([inner(x), x])
    middle = models.Model(images, layers.Conv2D(4, 1)(x), name="middle")
    x = photos = layers.Input((16, 17, 3))
    x = layers.Conv2D(4, 3, strides=2, padding="same", activation="relu")(x)
    x = layers.Cropping2D(((0, 0), (1, 0)))(x)
    x = middle(middle(x))
    x = layers.Conv2DTranspose(3, 3, strides=2, padding="same")(x)
    x = layers.UpSampling2D(2)(x)
    x = layers.concatenate([layers.GlobalMaxPooling2D()(x), layers.GlobalAveragePooling2D()(x)])
    return models.Model(photos, [layers.Dense(5, activation="softmax")(x), layers.Dense(2)(x)])


def keras211():
    """Two inputs, a shared model, operations that are no layers, and a multiplication by a map."""
    import tensorflow as tf
    from tensorflow.keras import layers, models

    x = images = layers.Input((None, None, 3), name="left")
    other = layers.Input((None, None, 3), name="right")
    inside = layers.Input((None, None, 3))
    tower = models.Sequential([layers.Conv2D(5, 3, padding="same"), layers.LayerNormalization()])
    mixed = layers.Concatenate()([tower(inside), layers.ReLU(6.0, negative_slope=0.0)(inside)])
    shared = models.Model(inside, layers.Conv2D(4, 1, groups=4)(mixed), name="shared")
    x = layers.Rescaling(0.5, 0.1)(x)
    x, y = shared(x), shared(other * 2.0 - 1.0)
    gate = layers.GlobalAveragePooling2D(keepdims=True)(y)
    gate = layers.Dense(4, activation="hard_sigmoid")(gate)
    x = layers.Multiply()([x, gate])
    x = tf.nn.relu6(x + y)
    x = layers.DepthwiseConv2D(3, strides=2, padding="same", depth_multiplier=2)(x)
    x = layers.Activation("swish")(layers.UpSampling2D(2, interpolation="bilinear")(x))
    return models.Model([images, other], layers.GlobalMaxPooling2D()(x))


def keras212():
    """The model of 2.11, in whose .keras file each class of layers is numbered by itself."""
    return keras211()


def keras213():
    """A Sequential in a Sequential, and two heads of which only the order tells which is which."""
    from tensorflow.keras import layers, models

    inner = [layers.Conv2D(4, 3, padding="same", use_bias=False), layers.BatchNormalization()]
    inner = models.Sequential([*inner, layers.PReLU(shared_axes=[1, 2])], name="inner")
    images = layers.Input((9, 8, 3))
    norm = layers.Normalization(mean=[0.1, 0.2, 0.3], variance=[1.0, 2.0, 3.0])
    body = models.Sequential([norm, inner, layers.SeparableConv2D(5, 3), layers.Flatten()], name="body")
    x = body(images)
    return models.Model(images, [layers.Dense(3, activation="gelu")(x), layers.Dense(3)(x)])


def keras215():
    """As 2.13, its groups of weights named otherwise."""
    return keras213()


def filled(shape):
    """Values that keep activations of order 1, and variances positive."""
    values = RANDOM.uniform(0.5, 1.5, shape) if len(shape) == 1 else RANDOM.normal(0, 1, shape)
    return (values / max(np.prod(shape[:-1]), 1) ** 0.5 if len(shape) > 1 else values).astype("float32")


def main(name, folder):
    model = globals()[name]()
    model.set_weights([filled(array.shape) for array in model.get_weights()])
    inputs = model.inputs if isinstance(model.inputs, list) else [model.inputs]
    shapes = [getattr(x, "_keras_shape", None) or tuple(x.shape) for x in inputs]
    images = [
        RANDOM.normal(size=[2] + [int(side or 14) for side in shape[1:]]).astype("float32")
        for shape in shapes
    ]
    outputs = model.predict(images if len(images) > 1 else images[0])
    outputs = outputs if isinstance(outputs, list) else [outputs]
    if name >= "keras212" and len(name) == len("keras212"):
        form = "keras_v3" if name == "keras212" else "keras"  # 2.12 writes HDF5 for "keras"
        model.save(os.path.join(folder, name + ".keras"), save_format=form)
    else:
        model.save(os.path.join(folder, name + ".h5"))
        model.save_weights(os.path.join(folder, name + "_weights.h5"))
        with open(os.path.join(folder, name + ".json"), "w") as file:
            file.write(model.to_json())
    values = {"input{}".format(n): x for n, x in enumerate(images)}
    values.update({"output{}".format(n): x for n, x in enumerate(outputs)})
    np.savez(os.path.join(folder, name + ".npz"), **values)


main(*sys.argv[1:])
