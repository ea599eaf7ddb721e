"""A demo agent's model: an ensemble of small scikit-learn estimators built from a genome."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import SGDClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.tree import DecisionTreeClassifier

from evometrics.producers.demo.data import CLASSES, PIXELS, SIDE, Images, Labels, Part
from evometrics.producers.demo.genome import Genome


@dataclass(frozen=True, slots=True)
class Estimator:
    """One estimator with its features; all three kinds of features are a linear map of the pixels."""

    centre: NDArray[np.float64]
    weights: NDArray[np.float64]
    estimator: Any

    def probabilities(self, x: Images) -> NDArray[np.float64]:
        """Return one row of ten class probabilities per image; 0 for a class that was never seen."""
        answer = np.zeros((len(x), CLASSES))
        answer[:, self.estimator.classes_] = self.estimator.predict_proba((x - self.centre) @ self.weights)
        return answer


@dataclass(frozen=True, slots=True)
class DigitModel:
    """A trained model; never changed once fitted, so keeping it keeps the agent's state."""

    genome: Genome
    members: tuple[Estimator, ...]

    def probabilities(self, x: Images) -> NDArray[np.float64]:
        """Return the members' mean class probabilities, one row per image."""
        if len(self.members) == 1:
            return self.members[0].probabilities(x)
        total: NDArray[np.float64] = sum(
            (m.probabilities(x) for m in self.members), np.zeros((len(x), CLASSES))
        )
        return total / len(self.members)

    def answers(self, x: Images) -> Labels:
        """Return the digit answered for each image."""
        best: Labels = self.probabilities(x).argmax(axis=1)
        return best

    def accuracy(self, part: Part) -> float:
        """Return the share of right answers."""
        return float(np.mean(self.answers(part.x) == part.y))

    def parameter_count(self) -> int:
        """Return how many learned values its answers depend on (nodes for a tree), over all members."""
        return sum(parameter_count(member.estimator) for member in self.members)


def fit(genome: Genome, train: Part) -> DigitModel:
    """Train a model; the same genome and data give the same one.

    Raises `ValueError` where scikit-learn can't fit it, e.g. more neighbours than images.
    """
    random = np.random.default_rng(genome.seed)
    size = max(CLASSES, round(len(train.y) * genome.train_share))
    chosen = random.choice(len(train.y), size=min(size, len(train.y)), replace=False)
    members = []
    for _ in range(genome.members):
        rows = random.choice(chosen, size=len(chosen)) if genome.members > 1 else chosen
        members.append(fit_member(genome, train.x[rows], train.y[rows], random))
    return DigitModel(genome, tuple(members))


def fit_member(genome: Genome, x: Images, y: Labels, random: np.random.Generator) -> Estimator:
    """Train one member on the given images, and on noisy copies of them if the genome asks for that."""
    if genome.noise:
        x = np.vstack([x, np.clip(x + random.normal(0.0, genome.noise, x.shape), 0.0, 1.0)])
        y = np.concatenate([y, y])
    centre, weights = feature_map(genome, x, random)
    estimator = new_estimator(genome, int(random.integers(2**31)))
    features = (x - centre) @ weights
    if isinstance(estimator, MLPClassifier):
        for _ in range(genome.epochs):  # epoch by epoch: `fit` warns when it stops before convergence
            estimator.partial_fit(features, y, classes=np.arange(CLASSES))
    else:
        estimator.fit(features, y)
        if isinstance(estimator, KNeighborsClassifier) and genome.capacity > len(y):
            raise ValueError(f"{genome.capacity} neighbours requested, {len(y)} training images")
    return Estimator(centre, weights, estimator)


def feature_map(
    genome: Genome, x: Images, random: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the centre to subtract and the matrix (64, features) to multiply with."""
    if genome.features == "pca":
        centre = x.mean(axis=0)
        _, _, axes = np.linalg.svd(x - centre, full_matrices=False)
        return centre, axes[: genome.feature_count].T
    if genome.features == "pool":
        half = SIDE // 2
        cell = np.array([(row // 2) * half + column // 2 for row in range(SIDE) for column in range(SIDE)])
        pooled = np.eye(half * half)[cell] / 4
        return np.zeros(PIXELS), pooled[:, sorted(random.permutation(half * half)[: genome.feature_count])]
    return np.zeros(PIXELS), np.eye(PIXELS)[:, sorted(random.permutation(PIXELS)[: genome.feature_count])]


def new_estimator(genome: Genome, seed: int) -> Any:
    """Return the untrained scikit-learn estimator of a genome's family."""
    match genome.family:
        case "linear":
            return SGDClassifier(
                loss="log_loss",
                alpha=genome.regularisation,
                max_iter=genome.epochs,
                tol=None,
                random_state=seed,
            )
        case "tree":
            return DecisionTreeClassifier(max_depth=genome.capacity, random_state=seed)
        case "neighbours":
            return KNeighborsClassifier(n_neighbors=genome.capacity, weights="distance")
        case "bayes":
            return GaussianNB(var_smoothing=genome.regularisation)
        case "network":
            return MLPClassifier(
                hidden_layer_sizes=(genome.capacity,),
                alpha=genome.regularisation,
                learning_rate_init=0.02,
                batch_size=100,
                random_state=seed,
            )


def parameter_count(estimator: Any) -> int:
    """Return one estimator's number of learned values: a tree's nodes, a neighbour model's features."""
    match estimator:
        case SGDClassifier():
            return int(estimator.coef_.size + estimator.intercept_.size)
        case DecisionTreeClassifier():
            return int(estimator.tree_.node_count)
        case KNeighborsClassifier():
            return int(estimator.n_samples_fit_ * estimator.n_features_in_)
        case GaussianNB():
            return int(estimator.theta_.size + estimator.var_.size)
        case MLPClassifier():
            return int(sum(w.size for w in (*estimator.coefs_, *estimator.intercepts_)))
    raise TypeError(f"can't count the parameters of {type(estimator).__name__}")
