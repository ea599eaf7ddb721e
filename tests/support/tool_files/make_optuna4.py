"""Makes `optuna4.sqlite` and `optuna4.log`: two trials of Optuna 4.9.0 in New York, which stores local times.

pip install optuna==4.9.0
TZ=America/New_York python make_optuna4.py . && gzip -9n optuna4.sqlite
"""

from __future__ import annotations

import sys

import optuna
from optuna.storages import JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend

if __name__ == "__main__":
    folder = sys.argv[1]
    for storage in (
        RDBStorage(f"sqlite:///{folder}/optuna4.sqlite"),
        JournalStorage(JournalFileBackend(f"{folder}/optuna4.log")),
    ):
        study = optuna.create_study(study_name="night", storage=storage)
        study.sampler = optuna.samplers.RandomSampler(seed=1)
        study.optimize(lambda trial: trial.suggest_float("x", -3, 3) ** 2, n_trials=2)
