"""One framework's run, in a process of its own: `python -m tests.frameworks.child NAME BROKERS FOLDER`.

Writes FOLDER/expected.json. A framework's output goes to standard error.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import json
import sys
from pathlib import Path

from evometrics.producers.recording import Recorder


def main(name: str, brokers: str, folder: Path) -> None:
    module = importlib.import_module(f"tests.frameworks.runs.{name}")
    config = {"brokers": brokers, "db_path": str(folder / "node.db"), "stop_timeout": 60}
    with contextlib.redirect_stdout(sys.stderr), Recorder(config) as recorder:
        expected = module.run(recorder, folder)
    assert recorder.lost == 0, f"{name}: the recorder dropped {recorder.lost} events"
    version = importlib.metadata.version(module.PACKAGES[0].split("[")[0])
    (folder / "expected.json").write_text(json.dumps({"version": version, **expected.to_dict()}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
