"""Optuna: the settings of a classifier of handwritten digits, poor trials pruned, poor settings refused.

python examples/optuna_study.py
"""

import sqlite3
from pathlib import Path

import optuna
from sklearn.datasets import load_digits
from sklearn.linear_model import SGDClassifier
from sklearn.model_selection import train_test_split

from evometrics.producers import Recorder
from evometrics.producers.integrations.optuna import EvometricsCallback

PIXELS, LABELS = load_digits(return_X_y=True)
TRAIN, TEST, TRAIN_LABELS, TEST_LABELS = train_test_split(PIXELS / 16, LABELS, random_state=0)
EPOCHS = 5


def accuracy(trial: optuna.Trial) -> float:
    """Train with a trial's settings; return the share of digits that are read right."""
    rate = trial.suggest_float("rate", 1e-4, 1.0, log=True)
    penalty = trial.suggest_float("penalty", 1e-6, 1e-1, log=True)
    if rate * penalty > 0.05:
        raise ValueError("these settings would only shrink the weights")
    model = SGDClassifier(learning_rate="constant", eta0=rate, alpha=penalty, random_state=0)
    for epoch in range(EPOCHS):
        model.partial_fit(TRAIN, TRAIN_LABELS, classes=range(10))
        share = float(model.score(TEST, TEST_LABELS))
        trial.report(share, epoch)
        if trial.should_prune():
            raise optuna.TrialPruned
    return share


def main() -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        study_name="digits",
        direction="maximize",
        sampler=optuna.samplers.TPESampler(seed=5),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=5),
    )
    with Recorder() as recorder:
        callback = EvometricsCallback(recorder)
        study.optimize(accuracy, n_trials=40, callbacks=[callback], catch=(ValueError,))
    print(f"evaluated: {len(study.trials)} trials")
    print(f"best: {study.best_value:.3f} of the digits, with {study.best_params}")
    show(study)


def show(study: optuna.Study) -> None:
    """Print what became of the trials, from the rows on this node."""
    if not Path("evolution_metrics.db").exists():
        print("recorded: sent to your broker, with evolution_type optuna")
        return
    sql = """
        WITH run AS (SELECT evolution_id AS id FROM evolution_metrics
                     WHERE evolution_type = 'optuna_run' ORDER BY rowid DESC LIMIT 1)
        SELECT status, count(*), max(performance_score), sum(duration_minutes) * 60
        FROM evolution_metrics, run WHERE evolution_id LIKE run.id || '/%' GROUP BY status ORDER BY 2 DESC
    """
    with sqlite3.connect("evolution_metrics.db") as history:
        rows = history.execute(sql).fetchall()
    print(f"recorded: {sum(count for _, count, *_ in rows)} candidates")
    for status, count, score, seconds in rows:
        reached = "" if score is None else f", up to {score:.3f}"
        print(f"  {status:<12} {count:>3} trials in {seconds:.1f} s{reached}")


if __name__ == "__main__":
    main()
