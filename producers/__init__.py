"""What an orchestrator node runs: collector, resource sampler, outbox, publisher, reference orchestrator."""
