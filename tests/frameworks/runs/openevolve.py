"""OpenEvolve: two searches of two workers, and one that is resumed from a checkpoint."""

from __future__ import annotations

import asyncio
from pathlib import Path

from evometrics.producers.recording import Recorder
from tests.frameworks.expected import Expected

PACKAGES = ("openevolve",)


def run(recorder: Recorder, folder: Path) -> Expected:
    from evometrics.producers.integrations.openevolve import EvometricsTracer
    from tests.support.openevolve_search import Account, controller

    found = {}
    for run_id, parts in {
        "openevolve-a": (40,),
        "openevolve-b": (40,),
        "openevolve-resumed": (8, 12),
    }.items():
        for part, iterations in enumerate(parts):
            search = controller(folder / run_id, iterations=iterations, workers=2 if len(parts) == 1 else 1)
            account = Account(search)
            EvometricsTracer.attach(search, recorder=recorder, run_id=run_id if not part else None)
            checkpoint = Path(search.output_dir, "checkpoints", f"checkpoint_{parts[0]}")
            asyncio.run(search.run(checkpoint_path=str(checkpoint) if part else None))
            after = f"-after-{parts[0]}" if part else ""
            found |= {each.agent_id: each for each in account.candidates(run_id, after)}
    run_ids = tuple(dict.fromkeys(agent.split("/")[0] for agent in found))
    return Expected(run_ids, ("combined_score",), tuple(found.values()))
