"""The run that a framework's own folder belongs to, so that one resumed from it is the same run."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

logger = logging.getLogger(__name__)
FILE = "evometrics_run.json"


@dataclass(frozen=True)
class Continued:
    """A run's id, and how many of its candidates are recorded."""

    run_id: str
    candidates: int = 0

    @classmethod
    def of(cls, folder: str | Path | None) -> Self | None:
        """Return what a folder has; None where it has nothing, or nothing that can be read."""
        try:
            found = json.loads((Path(folder or "") / FILE).read_text(encoding="utf-8")) if folder else None
            return None if found is None else cls(str(found["run_id"]), int(found["candidates"]))
        except FileNotFoundError:
            return None
        except Exception as error:
            logger.warning(
                "%s in %s can't be read: %s; a run resumed there is a new one", FILE, folder, error
            )
            return None

    def keep(self, folder: str | Path | None) -> None:
        """Write it into a folder; where that fails, it is logged."""
        if not folder:
            return
        try:
            file = Path(folder) / FILE
            new = file.with_suffix(".new")
            new.write_text(json.dumps(asdict(self)), encoding="utf-8")
            new.replace(file)
        except OSError as error:
            logger.warning("%s can't be written: %s; a run resumed there is a new one", folder, error)
