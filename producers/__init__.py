"""What an orchestrator node runs: collector, resource sampler, outbox, publisher, reference orchestrator."""

from evometrics.producers.collector import EvolutionMetricsCollector
from evometrics.producers.evolution_events import EvolutionCompletionEvent, EvolutionEvent
from evometrics.producers.kpi import AgentKPI

__all__ = ["AgentKPI", "EvolutionCompletionEvent", "EvolutionEvent", "EvolutionMetricsCollector"]
