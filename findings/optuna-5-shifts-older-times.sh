#!/usr/bin/env bash
# optuna 5.0.0: the times of trials that Optuna 4 has stored in an RDBStorage are shifted by the zone's offset, without a
# word. Up to 4.9.0 the columns hold local times, from 5.0.0 UTC, and nothing in the database tells a row of one from
# one of the other (version_info keeps the version that made it). Seen in New York: "4.9.0: 12:54; 5.0.0: 07:54". The way
# round: read such a database in the zone where it was written, with TZ=UTC (evometrics import: --timezone). Not a
# mistake of theirs, but a decision (optuna/optuna#6776): a migration could not know the zone either.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
export TZ=America/New_York
cat >"$folder/first.py" <<'PYTHON'
import sys

import optuna

optuna.logging.set_verbosity(optuna.logging.ERROR)
study = optuna.create_study(study_name="night", storage=f"sqlite:///{sys.argv[1]}/night.db", load_if_exists=True)
if not study.trials:
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=1)
print(f"{study.trials[0].datetime_start:%Y-%m-%d %H:%M:%S}")
PYTHON
declare -A seen
for version in 4.9.0 5.0.0; do
    "$folder/venv/bin/pip" install -q "optuna==$version" sqlalchemy==2.1.9
    seen[$version]=$("$folder/venv/bin/python" -W ignore "$folder/first.py" "$folder")
    echo "$version: ${seen[$version]}"
done
hours=$((($(date -u -d "${seen[4.9.0]}" +%s) - $(date -u -d "${seen[5.0.0]}" +%s)) / 3600))
echo "the same trial, $hours hours apart"
[ "$hours" = 4 ] || [ "$hours" = 5 ]
