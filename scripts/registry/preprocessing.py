"""The records by which images become a network's input; the size comes from each entry's graph.

Each is what the upstream's own evaluation does; a field that is left out has the default of `Preprocessing`.
"""

from __future__ import annotations

IMAGENET_MEAN = [0.485, 0.456, 0.406]
IMAGENET_STD = [0.229, 0.224, 0.225]
HALVES = [0.5, 0.5, 0.5]  # as mean and deviation: -1 to 1
NO_MEAN = [0, 0, 0]
NO_STD = [1, 1, 1]

KERAS_EXAMPLES = {"interpolation": "pillow_nearest"}  # keras.utils.load_img(path, target_size=(size, size))

PREPROCESSING = {
    "tencent_demo": {
        "resize_size": 256,
        "interpolation": "opencv_linear",
        "mean": HALVES,
        "std": HALVES,
    },
    "gluoncv_eval": {
        "resize_size": 256,
        "interpolation": "opencv_linear",
        "mean": IMAGENET_MEAN,
        "std": IMAGENET_STD,
    },
    "slim_inception": {  # research/slim/preprocessing/inception_preprocessing.py, preprocess_for_eval
        "central_fraction": 0.875,
        "interpolation": "tf1_bilinear",
        "mean": HALVES,
        "std": HALVES,
    },
    "slim_vgg": {  # vgg_preprocessing.py; its means are rounded, Keras's keep a digit more
        "resize_size": 256,
        "longer_side": "rounded",
        "interpolation": "tf1_bilinear",
        "max_value": 255,
        "mean": [123.68, 116.78, 103.94],
        "std": NO_STD,
    },
    # keras.applications.imagenet_utils.preprocess_input's three modes, and networks that scale by themselves
    "keras_caffe": KERAS_EXAMPLES
    | {"max_value": 255, "mean": [123.68, 116.779, 103.939], "std": NO_STD, "channels": "BGR"},
    "keras_torch": KERAS_EXAMPLES | {"mean": IMAGENET_MEAN, "std": IMAGENET_STD},
    "keras_tf": KERAS_EXAMPLES | {"mean": HALVES, "std": HALVES},
    "keras_raw": KERAS_EXAMPLES | {"max_value": 255, "mean": NO_MEAN, "std": NO_STD},
    "darknet": {  # src/image.c, letterbox_image
        "interpolation": "darknet_linear",
        "pad_value": 127.5,
        "mean": NO_MEAN,
        "std": NO_STD,
    },
    # tensorflow/tpu, models/official/efficientnet: preprocessing.py, lite/efficientnet_lite_builder.py
    "efficientnet_lite": {
        "crop_padding": 32,
        "interpolation": "tf1_bicubic",
        "max_value": 255,
        "mean": [127, 127, 127],
        "std": [128, 128, 128],
    },
    "torchvision": {  # torchvision/transforms/_presets.py, ImageClassification
        "resize_size": 256,
        "crop_start": "even",
        "interpolation": "pillow_bilinear",
        "mean": IMAGENET_MEAN,
        "std": IMAGENET_STD,
    },
    "cifar": {
        "resize_size": 32,
        "interpolation": "pillow_bicubic",
        "mean": [0.4914, 0.4822, 0.4465],
        "std": [0.247, 0.2435, 0.2616],
    },
}
