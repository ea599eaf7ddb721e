"""Demo agents truly evolve: real models, measured KPIs, exact rollback."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import math
import os
import random
import signal
import sys
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from evometrics.deploy.pipeline.topics import create_topics
from evometrics.deploy.process.ports import free_ports
from evometrics.producers.demo import data as digits
from evometrics.producers.demo.genome import (
    MAX_EPOCHS,
    MAX_FEATURES,
    MAX_MEMBERS,
    MUTATIONS,
    RANGES,
    Genome,
    mutated,
    poor_genome,
)
from evometrics.producers.orchestrator.agent import EvolutionContext, EvolutionFailed, EvolvableAgent
from evometrics.producers.orchestrator.strategies import Strategy, standard_strategies
from evometrics.schemas.kpis.performance import KPI_NAMES, overall_performance
from evometrics.schemas.service.settings import KafkaSettings
from tests.support.later import Later
from tests.support.outboxes import NO_BROKER, arrived, left_in

of_agent: Any = Later("evometrics.producers.demo.agent")
kpis: Any = Later("evometrics.producers.demo.kpis")

TIMED = {"response_time_ms", "throughput_tps", "cpu_utilization", "energy_efficiency"}
#: A middling genome of each family: room above, and not hopeless.
GENOMES = {
    family: Genome(family, capacity, regularisation, "pixels", 24, 1, 0.4, 5, 0.0, 17)
    for family, capacity, regularisation in (
        ("linear", 1, 0.01),
        ("tree", 6, 0.0),
        ("neighbours", 15, 0.0),
        ("bayes", 1, 0.01),
        ("network", 10, 0.01),
    )
}


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Measure as a node does: on matrices this small, more threads only cost."""
    with threadpool_limits(1):
        yield


def context(seed: int = 1, reports: list[tuple[int, float]] | None = None) -> EvolutionContext:
    kept = [] if reports is None else reports
    return EvolutionContext(generation=1, seed=seed, kpis={}, report=lambda i, f: kept.append((i, f)))


def evolved(agent: EvolvableAgent, strategy: Strategy, seeds: range = range(12)) -> list[str]:
    """Apply a strategy with one seed after another until it finds something fitter."""
    for seed in seeds:
        try:
            return agent.apply_strategy(strategy, context(seed))
        except EvolutionFailed:
            continue
    raise AssertionError(f"{strategy.name} found nothing in {len(seeds)} tries")


def test_no_image_is_in_two_parts_and_every_digit_is_in_each() -> None:
    data = digits.load()
    parts = [data.train, data.validation, data.test, data.shifted_train, data.shifted_test]
    assert sum(len(p.y) for p in parts) == 1797
    assert all(set(p.y) == set(range(10)) for p in parts)
    assert all(p.x.min() == 0.0 and p.x.max() == 1.0 and p.x.shape == (len(p.y), 64) for p in parts)


def test_a_shift_moves_each_row_of_the_image_by_one_pixel() -> None:
    image = np.arange(64.0).reshape(1, 64)
    moved = digits.shifted(image).reshape(8, 8)
    assert (moved[:, 0] == 0).all()
    assert (moved[:, 1:] == image.reshape(8, 8)[:, :-1]).all()


@pytest.mark.parametrize("family", RANGES)
def test_every_kpi_of_every_family_is_measured_finite_and_in_range(family: str) -> None:
    agent = of_agent.DigitAgent("a", GENOMES[family])
    assert isinstance(agent, EvolvableAgent)
    first, second = agent.evaluate_kpi().measured(), agent.evaluate_kpi().measured()
    assert "knowledge_retention" not in first, "nothing was known before"
    assert second["knowledge_retention"] == 1.0
    assert set(second) == {*KPI_NAMES, "evaluation_count", "confidence_interval"}
    for name, value in second.items():
        assert math.isfinite(value) and value >= 0, (name, value)
        if name not in {"response_time_ms", "throughput_tps", "memory_usage_mb", "evaluation_count"}:
            assert value <= 1, (name, value)
    assert second["response_time_ms"] > 0 and second["throughput_tps"] > 0 and second["cpu_utilization"] > 0
    assert second["evaluation_count"] == len(digits.load().test.y)
    assert {n: v for n, v in first.items() if n not in TIMED} == {
        n: v for n, v in second.items() if n not in TIMED | {"knowledge_retention"}
    }


def test_kpis_agree_with_a_count_by_hand() -> None:
    agent, data = of_agent.DigitAgent("a", GENOMES["neighbours"]), digits.load()
    kpis = agent.evaluate_kpi().measured()
    answers = agent.answers(data.test.x)
    right = [int(a == y) for a, y in zip(answers, data.test.y, strict=True)]
    assert kpis["accuracy"] == pytest.approx(sum(right) / len(right))
    recalls = []
    for digit in range(10):
        own = [r for r, y in zip(right, data.test.y, strict=True) if y == digit]
        recalls.append(sum(own) / len(own))
    assert kpis["bias_score"] == pytest.approx(max(recalls) - min(recalls))
    learnt = float(np.mean(agent.answers(data.train.x) == data.train.y))
    assert kpis["generalization_ability"] == pytest.approx(min(1.0, kpis["accuracy"] / learnt))
    assert kpis["success_rate"] <= kpis["accuracy"]


def test_better_models_measure_better() -> None:
    data = digits.load()
    poor = kpis.measure_quality(of_agent.fit(GENOMES["linear"], data.train), data)
    rich_genome = dataclasses.replace(GENOMES["neighbours"], capacity=3, feature_count=64, train_share=1.0)
    rich = kpis.measure_quality(of_agent.fit(rich_genome, data.train), data)
    assert rich["accuracy"] > 0.95 > poor["accuracy"]
    for name in ("success_rate", "output_quality", "reliability", "consistency", "security_score"):
        assert rich[name] > poor[name], name
    assert rich["bias_score"] < poor["bias_score"]
    assert rich["interpretability"] < poor["interpretability"]
    assert rich["memory_usage_mb"] > poor["memory_usage_mb"]


def test_hostile_images_are_worse_than_noise_of_the_same_size() -> None:
    data = digits.load()
    model = of_agent.fit(GENOMES["neighbours"], data.train)
    attacked = kpis.hostile(model.probabilities(data.test.x), data.test, data.train)
    step = np.abs(attacked.x - data.test.x).max()
    signs = np.random.default_rng(0).choice([-step, step], data.test.x.shape)
    noisy = digits.Part(np.clip(data.test.x + signs, 0, 1), data.test.y)
    assert model.accuracy(attacked) < model.accuracy(noisy)


def test_adaptation_is_what_training_on_new_data_gains() -> None:
    data = digits.load()
    model = of_agent.fit(dataclasses.replace(GENOMES["neighbours"], capacity=3, train_share=1.0), data.train)
    assert 0.3 < kpis.adaptation(model, data) <= 1.0
    stubborn = of_agent.fit(dataclasses.replace(GENOMES["linear"], regularisation=1.0), data.train)
    assert kpis.adaptation(stubborn, data) < kpis.adaptation(model, data)


def test_retention_counts_only_what_was_known() -> None:
    before, now = np.array([True, True, False, True]), np.array([True, False, True, True])
    assert kpis.retention(before, now) == pytest.approx(2 / 3)
    assert kpis.retention(np.zeros(4, dtype=bool), now) is None


def test_the_wilson_interval_is_the_textbook_one() -> None:
    assert kpis.wilson_half_width(5, 10) == pytest.approx((0.7634 - 0.2366) / 2, abs=1e-3)
    assert kpis.wilson_half_width(10, 10) > 0


@pytest.mark.parametrize("strategy", list(standard_strategies()), ids=lambda s: s.name)
def test_each_strategy_changes_the_genome_the_answers_and_the_measured_kpis(strategy: Strategy) -> None:
    agent, data = of_agent.DigitAgent("a", GENOMES["linear"]), digits.load()
    before, genome, answers = agent.evaluate_kpi().measured(), agent.genome, agent.answers(data.test.x)
    insights = evolved(agent, strategy)
    after = agent.evaluate_kpi().measured()
    assert agent.genome != genome
    assert (agent.answers(data.test.x) != answers).any()
    assert {n: v for n, v in after.items() if n not in TIMED} != {
        n: v for n, v in before.items() if n not in TIMED
    }
    assert after["knowledge_retention"] < 1.0
    assert "->" in insights[0]


@pytest.mark.parametrize("strategy", list(standard_strategies()), ids=lambda s: s.name)
@pytest.mark.parametrize("family", ["neighbours", "network"])
def test_rollback_restores_identical_answers_and_kpis(strategy: Strategy, family: str) -> None:
    agent, data = of_agent.DigitAgent("a", GENOMES[family]), digits.load()
    agent.evaluate_kpi()
    before = agent.evaluate_kpi().measured()
    state, answers = agent.export_state(), agent.answers(data.test.x)
    evolved(agent, strategy)
    agent.evaluate_kpi()
    agent.roll_back(state)
    assert (agent.answers(data.test.x) == answers).all()
    restored = agent.evaluate_kpi().measured()
    assert {n: v for n, v in restored.items() if n not in TIMED} == {
        n: v for n, v in before.items() if n not in TIMED
    }


def test_an_evolution_pays_off_where_there_is_room() -> None:
    agent = of_agent.DigitAgent("a", GENOMES["linear"])
    before = overall_performance(agent.evaluate_kpi().measured())
    evolved(agent, standard_strategies()["extended_training"])
    after = overall_performance(agent.evaluate_kpi().measured())
    assert before is not None and after is not None and after > before


def test_progress_is_reported_for_each_candidate_and_stops_early() -> None:
    lengths = set()
    for seed in range(8):
        reports: list[tuple[int, float]] = []
        agent = of_agent.DigitAgent("a", GENOMES["bayes"])
        try:
            agent.apply_strategy(standard_strategies()["feature_engineering"], context(seed, reports))
        except EvolutionFailed as error:
            assert f"none of {len(reports)} candidates" in str(error)
        assert [i for i, _ in reports] == list(range(len(reports)))
        assert all(0 <= fitness <= 1 for _, fitness in reports)
        lengths.add(len(reports))
    assert max(lengths) <= of_agent.CANDIDATES and min(lengths) >= of_agent.PATIENCE
    assert len(lengths) > 1, "some evolutions end before all candidates are tried"


def test_an_evolution_that_finds_nothing_fitter_fails_and_leaves_the_agent_alone() -> None:
    strong = dataclasses.replace(GENOMES["neighbours"], capacity=1, feature_count=64, train_share=1.0)
    agent, failures = of_agent.DigitAgent("a", strong), 0
    for seed in range(6):
        genome = agent.genome
        try:
            agent.apply_strategy(standard_strategies()["hyperparameter_tuning"], context(seed))
        except EvolutionFailed:
            failures += 1
            assert agent.genome == genome
    assert failures


def test_a_candidate_that_cannot_be_trained_is_a_warning() -> None:
    few = dataclasses.replace(GENOMES["neighbours"], capacity=40, train_share=0.08)
    with pytest.raises(ValueError, match="60 neighbours requested, 44 training images"):
        of_agent.fit(dataclasses.replace(few, capacity=60), digits.load().train)
    agent = of_agent.DigitAgent("a", few)
    for seed in range(30):
        try:
            insights = agent.apply_strategy(standard_strategies()["hyperparameter_tuning"], context(seed))
        except EvolutionFailed:
            continue
        if any(i.startswith("warning: candidate") for i in insights):
            return
    raise AssertionError("no candidate asked for too many neighbours")


def test_the_same_seed_makes_the_same_agent_and_the_same_evolution() -> None:
    def life(seed: int) -> tuple[Genome, dict[str, float]]:
        agent = of_agent.DigitAgent.born("n1-agent-005", seed)
        for number, strategy in enumerate(standard_strategies()):
            with contextlib.suppress(EvolutionFailed):
                agent.apply_strategy(strategy, context(number))
        kpis = agent.evaluate_kpi().measured()
        return agent.genome, {n: v for n, v in kpis.items() if n not in TIMED}

    assert life(5) == life(5)
    assert (
        of_agent.DigitAgent.born("n1-agent-005", 5).genome
        != of_agent.DigitAgent.born("n1-agent-005", 6).genome
    )


def test_agents_start_different_and_mediocre() -> None:
    agents = [of_agent.DigitAgent.born(f"a{n}", 1) for n in range(12)]
    assert len({agent.genome for agent in agents}) == 12
    assert len({agent.genome.family for agent in agents}) >= 3
    test = digits.load().test
    accuracies = [float(np.mean(agent.answers(test.x) == test.y)) for agent in agents]
    assert max(accuracies) < 0.95 and min(accuracies) < 0.7


@pytest.mark.parametrize("strategy", MUTATIONS)
def test_a_mutation_stays_within_what_a_genome_may_be(strategy: str) -> None:
    draw = random.Random(3)
    genome = poor_genome(draw)
    for _ in range(300):
        genome = mutated(draw.choice([strategy, *MUTATIONS]), genome, draw)
        limits = RANGES[genome.family]
        assert limits.capacity[0] <= genome.capacity <= limits.capacity[1]
        assert limits.regularisation[0] <= genome.regularisation <= limits.regularisation[1]
        assert 1 <= genome.members <= MAX_MEMBERS and 1 <= genome.epochs <= MAX_EPOCHS
        assert 0 < genome.train_share <= 1 and 1 <= genome.feature_count <= MAX_FEATURES[genome.features]


def test_an_unknown_strategy_is_named() -> None:
    with pytest.raises(KeyError, match="have no strategy 'prayer'; they have hyperparameter_tuning"):
        mutated("prayer", GENOMES["tree"], random.Random(1))


async def node(*flags: str, **environment: str) -> asyncio.subprocess.Process:
    """Start a node in a process of its own."""
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "evometrics.producers.demo", "--json-progress", *flags),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **environment},
    )


async def lines_of(process: asyncio.subprocess.Process) -> list[dict[str, Any]]:
    """Wait for a node's end and return its lines."""
    out, err = await asyncio.wait_for(process.communicate(), 120)
    assert process.returncode == 0, err.decode()
    return [json.loads(line) for line in out.splitlines()]


async def test_nodes_in_processes_of_their_own_record_every_event_on_the_broker(
    kafka: str, tmp_path: Path
) -> None:
    await create_topics(KafkaSettings(brokers=kafka))
    names = [f"demo-{tmp_path.name}-{n}" for n in range(2)]
    work = ("--agents", "3", "--evolutions", "10", "--brokers", kafka, "--outbox-dir", str(tmp_path))
    nodes = [await node("--node-id", name, *work) for name in names]
    for name, process in zip(names, nodes, strict=True):
        *evolutions, done = await lines_of(process)
        assert [line["done"] for line in evolutions] == list(range(1, 11))
        statuses = Counter(line["status"] for line in evolutions)
        report = done["report"]
        assert {s: report[s] for s in ("succeeded", "rolled_back", "failed")} == {
            s: statuses[s] for s in ("succeeded", "rolled_back", "failed")
        }
        assert report["evolutions"] == 10 and report["agents"] == 3
        messages = await arrived(kafka, name)
        assert Counter(m.topic for m in messages) == done["recorded"]
        assert len({m.event.event_id for m in messages}) == len(messages)
        assert done["recorded"]["evometrics.evolution.completed"] == 10


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_a_node_cleanly_and_what_it_recorded_is_still_there(
    number: signal.Signals, tmp_path: Path
) -> None:
    work = ("--node-id", "n", "--agents", "2", "--evolutions", "100000", "--brokers", NO_BROKER)
    (port,) = free_ports(1)
    work += ("--outbox-dir", str(tmp_path), "--http-host", "127.0.0.1", "--http-port", str(port))
    process = await node(*work, EVOMETRICS_COLLECTOR_STOP_TIMEOUT="0")
    assert process.stdout is not None
    first = json.loads(await asyncio.wait_for(process.stdout.readline(), 60))
    metrics = await asyncio.to_thread(urllib.request.urlopen, f"http://127.0.0.1:{port}/metrics", timeout=60)
    with metrics:
        told = dict(line.rsplit(" ", 1) for line in metrics.read().decode().splitlines() if line[0] != "#")
    assert float(told["evometrics_outbox_events"]) > 0 and told["evometrics_broker_connected"] == "0.0"
    assert float(told["evometrics_outbox_oldest_seconds"]) > 0
    assert told["evometrics_events_refused_total"] == told["evometrics_events_rejected_total"] == "0.0"
    process.send_signal(number)
    *evolutions, done = [first, *await lines_of(process)]
    assert done["event"] == "done" and done["report"]["evolutions"] == len(evolutions)
    assert sum(done["recorded"].values()) == len(left_in(tmp_path))


async def test_a_node_that_nobody_listens_to_any_more_ends(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    work = ("--node-id", "n", "--agents", "2", "--evolutions", "100000", "--brokers", NO_BROKER)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "evometrics.producers.demo", "--json-progress", *work),
        *("--outbox-dir", str(tmp_path)),
        stdout=writer,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "EVOMETRICS_COLLECTOR_STOP_TIMEOUT": "0"},
    )
    os.close(writer)
    os.close(reader)
    _, err = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 2 and "Broken pipe" in err.decode()
    assert left_in(tmp_path)


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (("--agents", "0"), "--agents: 0: must be at least 1"),
        (("--evolutions", "many"), "--evolutions"),
        (("--brokers", ""), "brokers"),
        (("--outbox-dir", "/dev/null/outbox"), "/dev/null/outbox"),
    ],
)
async def test_a_bad_flag_is_named_at_once(flags: tuple[str, str], named: str, tmp_path: Path) -> None:
    process = await node("--node-id", "n", "--brokers", NO_BROKER, "--outbox-dir", str(tmp_path), *flags)
    _, err = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 2
    assert named in err.decode() and "Traceback" not in err.decode()


async def test_without_scikit_learn_the_way_out_is_told(tmp_path: Path) -> None:
    (tmp_path / "sklearn.py").write_text("raise ModuleNotFoundError(\"No module named 'sklearn'\")")
    process = await node(
        *("--node-id", "n", "--brokers", NO_BROKER, "--outbox-dir", str(tmp_path)), PYTHONPATH=str(tmp_path)
    )
    _, err = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 2 and err.decode().endswith("pip install 'evometrics[local]'\n")
