"""Recording without waiting: a recorder that any thread and callback may call, and a run of candidates."""

from evometrics.producers.recording.recorder import Recorder
from evometrics.producers.recording.run import Run

__all__ = ["Recorder", "Run", "scores"]
