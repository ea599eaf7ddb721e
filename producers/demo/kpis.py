"""Measures every KPI of a demo agent; none is assumed. All shares are 0-1.

`measure_quality` depends on the model alone (the test images and every perturbation are fixed), so an
unchanged model has the same figures again; `measure_speed` is timed at every call.
"""

from __future__ import annotations

import math
import pickle
import time
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from evometrics.producers.demo.data import CLASSES, DigitData, Labels, Part
from evometrics.producers.demo.model import DigitModel, fit

#: A request succeeds if the right digit is answered with at least this probability.
CONFIDENCE = 0.5
#: Single requests timed in one evaluation.
TIMED_REQUESTS = 20
#: CPU milliseconds per right answer that count as an efficiency of one half.
CPU_MS_HALF_EFFICIENT = 1.0
#: Standard deviation of the noise under which reliability is measured; brightness is 0-1.
NOISE = 0.25
#: Brightness by which the hostile input moves each pixel.
HOSTILE_STEP = 0.12
PERTURBATION_SEED = 11
Z95 = 1.959963984540054


def measure_quality(model: DigitModel, data: DigitData) -> dict[str, float]:
    """Return the KPIs that say how good the answers are.

    - accuracy: share of right answers on the test images; confidence_interval: half width of its Wilson 95 %
      interval.
    - success_rate: share answered right with a probability of at least `CONFIDENCE`.
    - output_quality: 1 - Brier score / 2, over all ten probabilities.
    - bias_score: best minus worst recall of a digit.
    - generalization_ability: test accuracy / accuracy on the training images, at most 1.
    - reliability: accuracy with noise on the images / accuracy, at most 1.
    - security_score: accuracy when each image is moved towards the mean image of the wrong digit that the
      model thinks likeliest.
    - consistency: share of equal answers of a model trained again on another sample.
    - adaptation_rate: share of the errors on shifted digits that a first member trained with shifted digits
      too no longer makes.
    - memory_usage_mb: the pickled model, 10^6 bytes.
    - interpretability: 1 - log10(learnt parameters) / 6, at least 0: 1 for one number, 0 for a million.
    """
    test, train = data.test, data.train
    probabilities = model.probabilities(test.x)
    answers = probabilities.argmax(axis=1)
    right = answers == test.y
    accuracy = float(right.mean())
    noise = np.random.default_rng(PERTURBATION_SEED).normal(0.0, NOISE, test.x.shape)
    noisy = model.accuracy(Part(np.clip(test.x + noise, 0.0, 1.0), test.y))
    sibling = fit(replace(model.genome, seed=model.genome.seed + 1), train)
    recalls = [float(right[test.y == digit].mean()) for digit in range(CLASSES)]
    learnt = model.accuracy(train)
    return {
        "accuracy": accuracy,
        "success_rate": float(np.mean(right & (probabilities.max(axis=1) >= CONFIDENCE))),
        "output_quality": 1 - brier(probabilities, test.y) / 2,
        "bias_score": max(recalls) - min(recalls),
        "generalization_ability": min(1.0, accuracy / learnt) if learnt else 0.0,
        "reliability": min(1.0, noisy / accuracy) if accuracy else 0.0,
        "security_score": model.accuracy(hostile(probabilities, test, train)),
        "consistency": float(np.mean(sibling.answers(test.x) == answers)),
        "adaptation_rate": adaptation(model, data),
        "memory_usage_mb": len(pickle.dumps(model)) / 1e6,
        "interpretability": max(0.0, 1 - math.log10(model.parameter_count()) / 6),
        "confidence_interval": wilson_half_width(int(right.sum()), len(test.y)),
    }


def measure_speed(model: DigitModel, test: Part) -> tuple[dict[str, float], Labels]:
    """Return the timed KPIs, and the answers to all test images.

    - response_time_ms: mean time of a single request; throughput_tps: answers per second in one batch.
    - cpu_utilization: CPU time of this thread / elapsed time, over both.
    - energy_efficiency: 1 / (1 + c / `CPU_MS_HALF_EFFICIENT`), c = CPU milliseconds per right single answer:
      a stand-in for joules, which can't be read on most hosts.
    """
    cpu_start, start = time.thread_time(), time.perf_counter()
    right = 0
    for row in range(TIMED_REQUESTS):
        right += int(model.answers(test.x[row : row + 1])[0] == test.y[row])
    singles, cpu_singles = time.perf_counter() - start, time.thread_time() - cpu_start
    batch_start = time.perf_counter()
    answers = model.answers(test.x)
    end = time.perf_counter()
    cpu = time.thread_time() - cpu_start
    cost = 1000 * cpu_singles / right if right else math.inf
    return {
        "response_time_ms": 1000 * singles / TIMED_REQUESTS,
        "throughput_tps": len(test.y) / (end - batch_start),
        "cpu_utilization": min(1.0, cpu / (end - start)),
        "energy_efficiency": 1 / (1 + cost / CPU_MS_HALF_EFFICIENT),
    }, answers


def retention(right_before: NDArray[np.bool_], right_now: NDArray[np.bool_]) -> float | None:
    """Return the share of previously right answers that still are; None where there were none."""
    known = int(right_before.sum())
    return float((right_before & right_now).sum() / known) if known else None


def brier(probabilities: NDArray[np.float64], y: Labels) -> float:
    """Return the multi-class Brier score, 0 (certain and right) to 2 (Brier 1950)."""
    return float(np.mean(np.sum((probabilities - np.eye(CLASSES)[y]) ** 2, axis=1)))


def hostile(probabilities: NDArray[np.float64], test: Part, train: Part) -> Part:
    """Return the test images moved towards the wrong digit that the model finds most likely."""
    means = np.array([train.x[train.y == digit].mean(axis=0) for digit in range(CLASSES)])
    wrong = np.where(np.eye(CLASSES, dtype=bool)[test.y], -1.0, probabilities).argmax(axis=1)
    step = HOSTILE_STEP * np.sign(means[wrong] - means[test.y])
    return Part(np.clip(test.x + step, 0.0, 1.0), test.y)


def adaptation(model: DigitModel, data: DigitData) -> float:
    """Return the share of errors on shifted digits that training with shifted digits removes."""
    genome = model.genome
    first = DigitModel(genome, model.members[:1])
    both = Part(
        np.vstack([data.train.x, data.shifted_train.x]),
        np.concatenate([data.train.y, data.shifted_train.y]),
    )
    adapted = fit(replace(genome, members=1), both)
    before, after = first.accuracy(data.shifted_test), adapted.accuracy(data.shifted_test)
    return max(0.0, (after - before) / (1 - before)) if before < 1 else 1.0


def wilson_half_width(right: int, total: int) -> float:
    """Return half the width of the Wilson 95 % interval of a share (Wilson 1927)."""
    share = right / total
    spread = math.sqrt(share * (1 - share) / total + Z95**2 / (4 * total**2))
    return Z95 * spread / (1 + Z95**2 / total)
