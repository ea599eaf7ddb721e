"""Examples of calls, by command; `tests/test_docs.py` parses each of them, and has one for each command."""

from __future__ import annotations

from typing import NamedTuple


class Example(NamedTuple):
    """A call, and what it does."""

    what: str
    line: str


EXAMPLES = {
    "demo": (
        Example("the whole pipeline, with 20 agents that evolve 200 times", "evometrics demo"),
        Example("a short one", "evometrics demo --nodes 1 --agents 5 --evolutions 20"),
    ),
    "up": (
        Example("the stack in ./.evometrics, until Ctrl-C", "evometrics up"),
        Example("with three brokers and two sinks", "evometrics up --local-brokers 3 --sinks 2"),
        Example("with a Kafka that runs already", "evometrics up --brokers kafka-1:9092"),
    ),
    "backup": (Example("copy the stack, which may be running", "evometrics backup /mnt/backup/monday"),),
    "orchestrate": (
        Example(
            "5 agents, 50 evolutions",
            "evometrics orchestrate --node-id node-1 --agents 5 --evolutions 50",
        ),
    ),
    "record": (
        Example(
            "a training script; its last line of output is a JSON object with KPIs",
            "evometrics record --agent-id agent-7 --strategy tune -- python train.py --epochs 20",
        ),
        Example(
            "a loss to be minimised, from a file that the program writes",
            "evometrics record --kpis kpis.json --objective loss --direction minimize -- ./fit",
        ),
    ),
    "stream": (
        Example(
            "a worker of a cluster, with /metrics and /health",
            "evometrics stream --brokers kafka-1:9092,kafka-2:9092 --instance stream-1 --http-port 9101",
        ),
    ),
    "sink": (
        Example(
            "a worker of a cluster, with /metrics and /health",
            "evometrics sink --brokers kafka-1:9092 --clickhouse-url http://ch-1:8123 --http-port 9102",
        ),
    ),
    "migrate": (
        Example("bring the database to the newest migration", "evometrics migrate"),
        Example("print the statements that would run", "evometrics migrate --dry-run"),
        Example("list every migration and its state", "evometrics migrate --status"),
        Example("on all servers of a ClickHouse cluster", "evometrics migrate --cluster '{cluster}'"),
        Example("print roles and their rights, as SQL", "evometrics migrate --grants"),
        Example("make these roles, as a user who may", "evometrics migrate --users"),
    ),
    "retention show": (Example("what each table keeps", "evometrics retention show"),),
    "retention set": (
        Example("keep completions for 30 days", "evometrics retention set evolution_completed 30"),
    ),
    "topics": (
        Example("create what is missing, and list all", "evometrics topics"),
        Example(
            "on a cluster, with three copies of each partition",
            "evometrics topics --brokers kafka-1:9092 --partitions 12 --replication 3",
        ),
        Example("the rights that each role needs, for kafka-acls.sh", "evometrics topics --acls"),
        Example(
            "the same as KafkaUser resources of Strimzi",
            "evometrics topics --acls --strimzi my-cluster --principal sink=metrics-sink",
        ),
    ),
    "dead-letters list": (
        Example(
            "what sinks gave up on in the last hour",
            "evometrics dead-letters list --since 3600 --stage sink",
        ),
    ),
    "dead-letters show": (Example("one message, with its bytes", "evometrics dead-letters show EVENT_ID"),),
    "dead-letters retry": (
        Example("what would be sent again", "evometrics dead-letters retry --all --dry-run"),
        Example(
            "send again what one topic had",
            "evometrics dead-letters retry --all --topic evometrics.kpi.snapshots",
        ),
    ),
    "import": (
        Example("what of a file would be taken", "evometrics import history.csv --dry-run"),
        Example("import it; repeating it changes nothing", "evometrics import history.csv"),
    ),
    "republish": (
        Example("what would be sent", "evometrics republish --dry-run"),
        Example(
            "one month of one table",
            "evometrics republish --tables evolution_completed --from 2026-11-01 --to 2026-12-01",
        ),
    ),
    "replay": (
        Example("show what differs from what the events give", "evometrics replay"),
        Example("put one day right", "evometrics replay --from 2026-11-23 --to 2026-11-24 --apply"),
        Example("from Kafka's topics, in two processes", "evometrics replay --source kafka --processes 2"),
    ),
    "checksums": (Example("as JSON, to compare with another database", "evometrics checksums --json"),),
    "sql": (
        Example(
            "one query", "evometrics sql 'SELECT status, count() FROM evolution_completed GROUP BY status'"
        ),
        Example(
            "with a parameter, from a file, into a file",
            "evometrics sql -f query.sql --param agent=agent-7 --format parquet --output agent-7.parquet",
        ),
        Example("a prompt with history and completion", "evometrics sql"),
    ),
    "schemas": (
        Example("all records, their versions, fingerprints and topics", "evometrics schemas"),
        Example("the schema of a completion, into a file", "evometrics schemas evolution_completed > v.avsc"),
    ),
    "ui": (
        Example("pages of the stack in this folder", "evometrics ui"),
        Example(
            "pages of another ClickHouse, at a port of their own",
            "evometrics ui --clickhouse-url http://127.0.0.1:8123 --clickhouse-user analyst --port 8800",
        ),
    ),
    "report": (
        Example("the last night, as report.html", "evometrics report"),
        Example(
            "a night's HTML and picture, to be mailed",
            "evometrics report --night 2026-11-28 --output night.html --png night.png",
        ),
        Example("a run, as plots in the terminal", "evometrics report --run night-7 --terminal"),
    ),
    "health": (
        Example("whether the part makes progress; exit code 0 or 1", "evometrics health --http-port 9302"),
        Example("whether what it needs answers as well", "evometrics health --http-port 9302 --ready"),
    ),
    "alerts": (
        Example(
            "the rules, with links to your copy of these pages",
            "evometrics alerts --docs https://docs.example.org",
        ),
        Example("an example of Prometheus' configuration", "evometrics alerts prometheus"),
    ),
    "dashboards": (
        Example("for the local stack in this folder", "evometrics dashboards --into grafana"),
        Example(
            "for a ClickHouse and a Prometheus of your own",
            "evometrics dashboards --into /etc/grafana/evometrics --clickhouse-url "
            "https://clickhouse.example.org "
            "--clickhouse-user grafana --prometheus-url http://prometheus.example.org:9090",
        ),
    ),
    "config": (Example("with those of a file", "evometrics config --config evometrics.toml"),),
    "completion": (Example("the script for bash", "evometrics completion bash"),),
}
