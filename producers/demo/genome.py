"""The parameters of a demo agent, and how each strategy changes them."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from evometrics.producers.demo.data import PIXELS
from evometrics.producers.orchestrator import strategies as catalogue

Family = Literal["linear", "tree", "neighbours", "bayes", "network"]
Features = Literal["pixels", "pool", "pca"]


@dataclass(frozen=True, slots=True)
class Genome:
    """The choices that, together with the data, fully determine a model.

    Attributes:
        family: the kind of estimator.
        capacity: depth of a tree, number of neighbours, or units of a network's hidden layer; else unused.
        regularisation: weight penalty (linear, network), share of the largest variance added (bayes); else
            unused.
        features: single pixels, 2x2 pooled pixels, or principal components.
        feature_count: how many of them.
        members: models in the ensemble; each learns from its own bootstrap sample where there are several.
        train_share: share of the training data used (0-1].
        epochs: passes over it (linear, network); else unused.
        noise: standard deviation of the noise on a second copy of the training images, 0 = no copy.
        seed: of every random draw.
    """

    family: Family
    capacity: int
    regularisation: float
    features: Features
    feature_count: int
    members: int
    train_share: float
    epochs: int
    noise: float
    seed: int


@dataclass(frozen=True, slots=True)
class Range:
    """The allowed range of a family's capacity and regularisation, and the values of a poor start."""

    capacity: tuple[int, int]
    poor_capacity: tuple[int, int]
    regularisation: tuple[float, float]


RANGES: dict[Family, Range] = {
    "linear": Range((1, 1), (1, 1), (1e-6, 1.0)),
    "tree": Range((2, 16), (3, 6), (0.0, 0.0)),
    "neighbours": Range((1, 60), (8, 40), (0.0, 0.0)),
    "bayes": Range((1, 1), (1, 1), (1e-9, 1.0)),
    "network": Range((2, 48), (4, 8), (1e-6, 1.0)),
}
MAX_EPOCHS, MAX_MEMBERS = 16, 3
MAX_FEATURES: dict[Features, int] = {"pixels": PIXELS, "pool": PIXELS // 4, "pca": 40}

Mutation: TypeAlias = Callable[[Genome, random.Random], Genome]


def poor_genome(draw: random.Random) -> Genome:
    """Return a deliberately mediocre start: few features, little data and little training."""
    family = draw.choice(tuple(RANGES))
    limits = RANGES[family]
    low, high = limits.regularisation
    return Genome(
        family=family,
        capacity=draw.randint(*limits.poor_capacity),
        regularisation=(high / low) ** draw.uniform(0.4, 0.9) * low if low else 0.0,
        features="pixels",
        feature_count=draw.randint(12, 28),
        members=1,
        train_share=round(draw.uniform(0.15, 0.5), 2),
        epochs=draw.randint(3, 8),
        noise=0.0,
        seed=draw.getrandbits(31),
    )


def mutated(strategy: str, genome: Genome, draw: random.Random) -> Genome:
    """Return a candidate made from `genome` by a strategy; raises `KeyError` for an unknown one."""
    try:
        mutation = MUTATIONS[strategy]
    except KeyError:
        raise KeyError(
            f"demo agents have no strategy {strategy!r}; they have {', '.join(MUTATIONS)}"
        ) from None
    return replace(mutation(genome, draw), seed=draw.getrandbits(31))


def tuned(genome: Genome, draw: random.Random) -> Genome:
    """Scale capacity and regularisation, within the family's range."""
    limits = RANGES[genome.family]
    least, most = limits.capacity
    capacity = round(genome.capacity * draw.choice((0.4, 0.6, 1.5, 2.5)))
    low, high = limits.regularisation
    regularisation = min(high, max(low, genome.regularisation * 10 ** draw.uniform(-2.0, 0.7)))
    return replace(genome, capacity=min(most, max(least, capacity)), regularisation=regularisation)


def trained_longer(genome: Genome, draw: random.Random) -> Genome:
    """Use more of the data and train longer."""
    share = min(1.0, genome.train_share + draw.uniform(0.1, 0.3))
    epochs = min(MAX_EPOCHS, round(genome.epochs * draw.uniform(1.3, 2.5)))
    return replace(genome, train_share=round(share, 2), epochs=epochs)


def re_featured(genome: Genome, draw: random.Random) -> Genome:
    """Draw a new kind of features and change their number."""
    features: Features = draw.choice(("pixels", "pool", "pca"))
    count = round(genome.feature_count * draw.uniform(0.7, 2.5))
    return replace(genome, features=features, feature_count=min(MAX_FEATURES[features], max(4, count)))


def grown(genome: Genome, draw: random.Random) -> Genome:
    """Change the number of members, usually upwards."""
    members = genome.members + draw.choice((-1, 1, 1, 2))
    return replace(genome, members=min(MAX_MEMBERS, max(1, members)))


def hardened(genome: Genome, draw: random.Random) -> Genome:
    """Train on noisy copies too."""
    return replace(genome, noise=round(draw.uniform(0.05, 0.4), 3))


def rebuilt(genome: Genome, draw: random.Random) -> Genome:
    """Switch to another family, with a capacity and regularisation drawn from its whole range."""
    family = draw.choice([f for f in RANGES if f != genome.family])
    limits = RANGES[family]
    low, high = limits.regularisation
    return replace(
        genome,
        family=family,
        capacity=draw.randint(*limits.capacity),
        regularisation=(high / low) ** draw.random() * low if low else 0.0,
    )


MUTATIONS: dict[str, Mutation] = {
    catalogue.HYPERPARAMETER_TUNING.name: tuned,
    catalogue.EXTENDED_TRAINING.name: trained_longer,
    catalogue.FEATURE_ENGINEERING.name: re_featured,
    catalogue.ENSEMBLE_GROWTH.name: grown,
    catalogue.ROBUSTNESS_TRAINING.name: hardened,
    catalogue.ARCHITECTURE_CHANGE.name: rebuilt,
}
