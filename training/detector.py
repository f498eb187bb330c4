"""YuNet, the face detector: the network a person gives, or OpenCV's published one."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from training.inputs import network_file, open_detector
from vidstyle.download import download
from vidstyle.paths import cache_dir

FIT = 640  # pixels: the long side that faces are looked for at
YUNET = "face_detection_yunet_2023mar.onnx"
YUNET_URL = f"https://media.githubusercontent.com/media/opencv/opencv_zoo/main/models/face_detection_yunet/{YUNET}"
YUNET_SHA256 = "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4"


def detector_file(given: Path | None) -> Path:
    """The YuNet network: the one given, else OpenCV's published one, fetched once and checked.

    Raises:
        SourceError, StyleError, SinkError: as `training.inputs.network_file`.
    """
    return network_file(given, "face detector", "YuNet's .onnx", cache_dir() / YUNET, _fetch)


def _fetch(path: Path) -> None:
    download(YUNET_URL, path, YUNET_SHA256, 4 << 20, lambda *_: None)


class Detector:
    """YuNet: faces as rows x, y, width, height, five points x y, score, largest first."""

    def __init__(self, path: Path, score: float) -> None:
        self._net = open_detector(path, score)

    def __call__(self, image: np.ndarray) -> np.ndarray:
        scale = min(1.0, FIT / max(image.shape[:2]))
        height, width = (max(1, round(side * scale)) for side in image.shape[:2])  # of a banner one side comes to 0
        small = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA) if scale < 1 else image
        self._net.setInputSize((small.shape[1], small.shape[0]))
        found = self._net.detect(np.ascontiguousarray(small[..., ::-1]))[1]
        if found is None:
            return np.zeros((0, 15), np.float32)
        found[:, :14] *= 1 / scale
        return found[np.argsort(-found[:, 2])]
