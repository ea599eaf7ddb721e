"""The digits data set that ships with scikit-learn, split once for all demo agents (no download)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Images: TypeAlias = NDArray[np.float64]
Labels: TypeAlias = NDArray[np.int64]

SIDE = 8
PIXELS = SIDE * SIDE
CLASSES = 10
#: The split is the same for every agent and node, so that their KPIs are comparable.
SPLIT_SEED = 7
TRAIN, VALIDATION, TEST, SHIFTED_TRAIN = 550, 350, 450, 150


@dataclass(frozen=True, slots=True)
class Part:
    """Images as rows of 64 brightnesses (0-1), and the digit on each."""

    x: Images
    y: Labels


@dataclass(frozen=True, slots=True)
class DigitData:
    """The data that agents learn from and are measured on; no image is in two parts.

    Attributes:
        train: what an agent may train on.
        validation: on which candidates of one evolution compete.
        test: on which KPIs are measured; no strategy sees it.
        shifted_train: digits moved by one pixel: new data to adapt to.
        shifted_test: digits moved by one pixel, held out.
    """

    train: Part
    validation: Part
    test: Part
    shifted_train: Part
    shifted_test: Part


@cache
def load() -> DigitData:
    """Return the split data set (read once per process)."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(SPLIT_SEED).permutation(len(labels))
    x, y = images[order] / 16.0, labels[order].astype(np.int64)
    bounds = np.cumsum([TRAIN, VALIDATION, TEST, SHIFTED_TRAIN])
    parts = [Part(a, b) for a, b in zip(np.split(x, bounds), np.split(y, bounds), strict=True)]
    return DigitData(*parts[:3], *(Part(shifted(part.x), part.y) for part in parts[3:]))


def shifted(images: Images) -> Images:
    """Return the images moved right by one pixel, the left column empty."""
    grid = np.zeros((len(images), SIDE, SIDE))
    grid[:, :, 1:] = images.reshape(-1, SIDE, SIDE)[:, :, :-1]
    return grid.reshape(-1, PIXELS)
