"""Writes what Darknet's own code makes of generated images and predictions, for tests/test_detection.py.

    python scripts/convert/originals/darknet_detect.py CLONE tests/goldens/detection_darknet.npz

CLONE is one of pjreddie/darknet in which `make` has run. It needs NumPy and imports nothing of modelzoo.
"""

import ctypes
import os
import sys
import tempfile
from pathlib import Path

import numpy as np

SIDE = 192  # pixels of the network's square input
GRID = SIDE // 32
CLASSES = 80
SIZES = [(480, 641), (641, 480), (192, 192), (191, 192), (37, 53), (333, 500), (100, 1)]  # height, width
STEP = 5  # every so many pixels of a letterbox are kept, to keep the file small
THRESHOLDS = (0.1, 0.5)
OVERLAP = 0.45  # test_detector in examples/detector.c
ANCHORS = "0.57273, 0.677385, 1.87446, 2.06253, 3.33843, 5.47434, 7.88282, 3.52778, 9.77052, 9.16828"
# Only the last layer of yolov2.cfg; the pooling makes the grid 32 times smaller than the input.
CFG = f"""[net]
batch=1
width={SIDE}
height={SIDE}
channels={5 * (5 + CLASSES)}
[maxpool]
size=32
stride=32
padding=0
[region]
anchors={ANCHORS}
classes={CLASSES}
coords=4
num=5
softmax=1
"""


class Image(ctypes.Structure):
    _fields_ = [
        ("w", ctypes.c_int),
        ("h", ctypes.c_int),
        ("c", ctypes.c_int),
        ("data", ctypes.POINTER(ctypes.c_float)),
    ]


class Detection(ctypes.Structure):
    _fields_ = [
        ("box", ctypes.c_float * 4),  # center, width and height
        ("classes", ctypes.c_int),
        ("scores", ctypes.POINTER(ctypes.c_float)),
        ("mask", ctypes.POINTER(ctypes.c_float)),
        ("objectness", ctypes.c_float),
        ("sort_class", ctypes.c_int),
    ]


def generated_image(height, width):
    """uint8 (height, width, 3): slopes with hard edges, and noise. tests/test_detection.py has a copy."""
    rows, columns, channels = np.ogrid[:height, :width, :3]
    slopes = rows * (2 + channels) + columns * (3 - channels)
    noise = np.random.RandomState(height * 10007 + width).randint(0, 64, (height, width, 3))
    return ((slopes + noise) % 256).astype(np.uint8)


def generated_predictions():
    """float32 (GRID, GRID, 425), with boxes that overlap. tests/test_detection.py has a copy."""
    raw = np.random.RandomState(2).normal(0, 1.5, (GRID, GRID, 5, 5 + CLASSES))
    raw[..., 2:4] *= 0.3
    raw[..., 5:8] += 6
    return raw.reshape(GRID, GRID, -1).astype(np.float32)


def main(clone, path):
    """Stores letterboxes, float32 (39, 39, 3), and detections (class, score, x0, y0, x1, y1), best first."""
    darknet = ctypes.CDLL(str(Path(clone) / "libdarknet.so"))
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # Darknet lists its layers
    goldens = {}
    for height, width in SIZES:
        goldens[f"letterbox_{height}x{width}"] = letterbox(darknet, generated_image(height, width))
        for threshold in THRESHOLDS:
            found = detections(darknet, generated_predictions(), height, width, threshold)
            goldens[f"detections_{height}x{width}_{threshold}"] = found
    np.savez_compressed(path, **goldens)


def letterbox(darknet, image):
    planes = np.ascontiguousarray((image / 255).astype(np.float32).transpose(2, 0, 1))
    darknet.letterbox_image.argtypes = [Image, ctypes.c_int, ctypes.c_int]
    darknet.letterbox_image.restype = Image
    image = Image(image.shape[1], image.shape[0], 3, floats(planes))
    boxed = darknet.letterbox_image(image, SIDE, SIDE)
    return np.ctypeslib.as_array(boxed.data, (3, SIDE, SIDE)).transpose(1, 2, 0)[::STEP, ::STEP]


def detections(darknet, raw, height, width, threshold):
    darknet.load_network.restype = ctypes.c_void_p
    darknet.network_predict.argtypes = [ctypes.c_void_p, ctypes.POINTER(ctypes.c_float)]
    darknet.get_network_boxes.argtypes = [
        ctypes.c_void_p, ctypes.c_int, ctypes.c_int, ctypes.c_float, ctypes.c_float,
        ctypes.c_void_p, ctypes.c_int, ctypes.POINTER(ctypes.c_int),
    ]  # fmt: skip
    darknet.get_network_boxes.restype = ctypes.POINTER(Detection)
    darknet.do_nms_sort.argtypes = [
        ctypes.POINTER(Detection), ctypes.c_int, ctypes.c_int, ctypes.c_float,
    ]  # fmt: skip
    with tempfile.NamedTemporaryFile("w", suffix=".cfg") as cfg:
        cfg.write(CFG)
        cfg.flush()
        net = darknet.load_network(os.fsencode(cfg.name), None, 0)
    planes = raw.transpose(2, 0, 1).repeat(32, 1).repeat(32, 2)
    darknet.network_predict(net, floats(np.ascontiguousarray(planes)))
    count = ctypes.c_int()
    boxes = darknet.get_network_boxes(net, width, height, threshold, 0.5, None, 0, ctypes.byref(count))
    darknet.do_nms_sort(boxes, count.value, CLASSES, OVERLAP)
    found = []
    for detection in boxes[: count.value]:
        x, y, w, h = detection.box
        corners = (x - w / 2, y - h / 2, x + w / 2, y + h / 2)
        scores = enumerate(detection.scores[:CLASSES])
        found += [(number, score, *corners) for number, score in scores if score > 0]
    return np.array(sorted(found, key=lambda row: -row[1]), np.float32).reshape(-1, 6)


def floats(array):
    return array.ctypes.data_as(ctypes.POINTER(ctypes.c_float))


if __name__ == "__main__":
    main(*sys.argv[1:])
