"""Keras' guide to transfer learning, as its reader would write it: for benchmarks.finetune.

    python -m benchmarks.transfer MODEL WEIGHTS TRAIN TEST EPOCHS_FROZEN EPOCHS_UNFROZEN SEED

keras.io/guides/transfer_learning: a frozen base in inference mode, pooling, dropout of 0.2 and a dense layer,
by Adam; then all of it by Adam(1e-5); batches of 64, random flips and rotations. Ours are the base and how it
wants its images scaled, which have to be the same; all images of the folder are trained on, none set aside.
The flips and rotations are new in each epoch: the guide's last version has cache() after them. Prints the
accuracy on the test images before and after the second part.
"""

import sys

import keras
import tensorflow as tf

import modelzoo

name, weights, train, test = sys.argv[1:5]
frozen, unfrozen, seed = map(int, sys.argv[5:])
keras.utils.set_random_seed(seed)
base = modelzoo.load(name, weights=weights, include_top=False)
size = modelzoo.info(name).preprocessing.crop_size
images = {"image_size": (size, size), "batch_size": 64}
train_images = keras.utils.image_dataset_from_directory(train, seed=seed, **images)
test_images = keras.utils.image_dataset_from_directory(test, shuffle=False, **images)
classes = len(train_images.class_names)
augmentation = [keras.layers.RandomFlip("horizontal"), keras.layers.RandomRotation(0.1)]


def augmented(x, y):
    for layer in augmentation:
        x = layer(x, training=True)
    return x, y


train_images = train_images.map(lambda x, y: (tf.cast(x, "uint8"), y)).cache().shuffle(100, seed=seed)
train_images = train_images.map(augmented, num_parallel_calls=tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)
test_images = test_images.cache().prefetch(tf.data.AUTOTUNE)

base.trainable = False
inputs = keras.Input((size, size, 3))
x = modelzoo.preprocessing_layer(name, resize=False)(inputs)
x = base(x, training=False)
x = keras.layers.GlobalAveragePooling2D()(x)
x = keras.layers.Dropout(0.2)(x)
model = keras.Model(inputs, keras.layers.Dense(classes)(x))
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
model.compile(keras.optimizers.Adam(), loss, metrics=["accuracy"])
model.fit(train_images, epochs=frozen, verbose=2)
before = model.evaluate(test_images, verbose=0)[1]

base.trainable = True
model.compile(keras.optimizers.Adam(1e-5), loss, metrics=["accuracy"])
model.fit(train_images, epochs=unfrozen, verbose=2)
print(before, model.evaluate(test_images, verbose=0)[1])
