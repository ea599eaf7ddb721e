"""The documents: the reference is what the code says, commands parse, links lead somewhere.

`python -m tests.reference` writes the reference. Whether a page names everything is asked of the code anew
here, not of the modules that write the pages.
"""

from __future__ import annotations

import ast
import dataclasses
import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest

from evometrics.deploy.cli.main import parser
from evometrics.deploy.commands import COMMANDS
from evometrics.deploy.console.options import LOCAL
from evometrics.deploy.exit_codes import ExitCode
from evometrics.producers.settings import CollectorSettings
from evometrics.schemas import metrics
from evometrics.schemas.service.settings import SECTIONS, check_names, variable_of
from evometrics.schemas.topics import SCOPE_COUNTS, TOPICS
from evometrics.schemas.wire.catalog import released
from evometrics.sinks.migrations.files import migrations
from evometrics.streams.processors.computations import TABLES
from tests.reference.calls import calls, refusal
from tests.reference.examples import EXAMPLES
from tests.reference.pages import FOLDER, PAGES
from tests.reference.python_api import PUBLIC, public
from tests.reference.reading import FENCE, HEADING, LINK, anchors, commands_in
from tests.reference.rights import rights
from tests.reference.sql_tables import tables

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
DESIGN = DOCS / "explanation" / "design.md"
CODE = ("schemas", "producers", "streams", "sinks", "deploy")
SETTINGS: dict[str, type[Any]] = {**LOCAL, "collector": CollectorSettings}
CITED = re.compile(r"\bdesign(?:\.md)?,? (?:section |§ ?)?(\d+)\b")


def documents() -> list[Path]:
    """Return the README and every page."""
    return [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]


def text_of(page: str) -> str:
    """Return a page of the reference."""
    return (FOLDER / page).read_text(encoding="utf-8")


def sections(page: str) -> dict[str, str]:
    """Return what stands under each heading of a page, by the heading without its backticks."""
    parts = re.split(r"^#+ (.+)$", text_of(page), flags=re.M)
    return {title.replace("`", ""): body for title, body in zip(parts[1::2], parts[2::2], strict=True)}


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_what_the_code_says(name: str) -> None:
    assert text_of(name) == PAGES[name](), "run `python -m tests.reference` and commit what it wrote"


def test_every_page_of_the_reference_with_the_generators_note_has_a_generator() -> None:
    made = {file.name for file in FOLDER.glob("*.md") if "`python -m tests.reference`" in file.read_text()}
    assert made == set(PAGES)


def test_every_command_flag_and_argument_is_in_the_reference() -> None:
    found = sections("commands.md")
    everywhere = found["Flags of every command"]
    for name in COMMANDS:
        assert name in found
    for call in calls(parser()):
        for action in call.parser._actions:
            where = found[call.name] if action.dest != "help" else text_of("commands.md")
            for flag in action.option_strings:
                if flag != "-h":
                    assert re.search(rf"{flag}(?![\w-])", where + everywhere), f"{call.name} {flag}"
            if not action.option_strings:
                assert str(action.metavar or action.dest.upper()) in where or action.choices, call.name
            assert action.help, f"{call.name} {action.dest} has no help"


def test_every_setting_is_in_the_reference() -> None:
    found = sections("settings.md")
    assert set(SETTINGS) == set(SECTIONS)
    for section, cls in SETTINGS.items():
        for field in dataclasses.fields(cls):
            (row,) = re.findall(rf"^\| `{field.name}` \|.*$", found[section], re.M)
            assert f"`{variable_of(section, field.name)}`" in row
            meaning = row.split(" | ")[3]
            assert len(meaning.split()) > 1, f"{section}.{field.name} says no more than its name"


def test_every_variable_that_starting_kafka_reads_is_in_the_reference() -> None:
    text = "".join(file.read_text() for file in (ROOT / "deploy" / "kafka").glob("*.py"))
    read = set(re.findall(r'environ(?:\.get\(|\[)"(\w+)"', text)) - {"PATH"}
    assert read == set(re.findall(r"^\| `(\w+)`", sections("settings.md")["Other variables"], re.M))


def test_every_metric_is_in_the_reference() -> None:
    text = text_of("metrics.md")
    declared = [each for each in vars(metrics).values() if isinstance(each, metrics.MetricDef)]
    for metric in declared:
        rows = re.findall(rf"^\| `{metric.name}` \| {metric.kind} \|.*$", text, re.M)
        assert rows, metric.name
        assert all(f"`{label}`" in row for row in rows for label in metric.labels)
    assert set(re.findall(r"^\| `(\w+)`", text, re.M)) == {metric.name for metric in declared}


def test_every_topic_and_every_field_of_its_record_is_in_the_reference() -> None:
    names = [topic.name for topic in TOPICS] + [SCOPE_COUNTS]
    text, events = text_of("topics-and-tables.md"), sections("events.md")
    for name in names:
        assert f"| `{name}` |" in text
    for table in TABLES:
        assert f"-{table}-changelog` |" in text
    for topic in TOPICS:
        versions = released()[topic.record]
        section = events[versions[-1].source["name"]]
        assert f"`{topic.name}`" in section
        for version in versions:
            assert version.fingerprint.hex() in section
            for field in version.source["fields"]:
                assert f"| `{field['name']}` |" in section, f"{topic.record}.{field['name']}"


def test_every_table_and_column_is_in_the_reference() -> None:
    """Names are looked for in the migrations' text by itself: what has a comment is a table or a column."""
    found = sections("topics-and-tables.md")
    sql = "\n".join(migration.sql for migration in migrations())
    created = set(re.findall(r"CREATE .*\{database\}\.(\w+)$", sql, re.M))
    assert created == {name for name in tables() if not name.startswith("schema_migrations")}
    columns = re.compile(r"^    (?:ADD COLUMN IF NOT EXISTS )?(\w+) [A-Z].* COMMENT '", re.M)
    for statement in re.split(r";[ \t]*$", sql, flags=re.M):
        named = re.search(r"^(?:CREATE|ALTER) .*\{database\}\.(\w+)", statement, re.M)
        assert named or not statement.strip()
        for column in columns.findall(statement) if named else ():
            if column == "COMMENT":
                continue
            shown = found["Columns of every storage table"] if column.startswith("_") else ""
            shown += found[named[1].removesuffix("_rows")] if named else ""
            assert f"| `{column}` |" in shown, f"{named and named[1]}.{column}"


def test_every_column_says_what_it_is() -> None:
    for name, table in tables().items():
        assert table.comment, name
        for column, each in table.columns.items():
            assert len(each.comment.split()) > 1, f"{name}.{column}"


def test_every_exit_code_is_in_the_reference() -> None:
    text = text_of("exit-codes.md")
    for code in ExitCode:
        assert f"| `{int(code)}` | `{code.name}` |" in text
    for room in ("cli", "commands", "console", "history"):
        for path in (ROOT / "deploy" / room).glob("*.py"):
            bare = numbers_returned(ast.parse(path.read_text(encoding="utf-8")))
            assert bare <= {0}, f"{path}: {bare}: return an ExitCode"


def numbers_returned(tree: ast.Module) -> set[int]:
    """Return the whole numbers that a module's functions return or exit with by themselves."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Return) and node.value is not None:
            value = node.value
            branches = [value.body, value.orelse] if isinstance(value, ast.IfExp) else [value]
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("sys.exit", "parser.exit"):
            branches = node.args
        else:
            continue
        found |= {b.value for b in branches if isinstance(b, ast.Constant) and type(b.value) is int}
    return found


def test_every_public_name_is_in_the_reference() -> None:
    found = sections("python-api.md")
    for folder in PUBLIC:
        for module, names in public(folder):
            assert module in found
            for name, _ in names:
                assert FENCE.sub("", found[name]).strip(), f"{module}.{name} has no docstring"


def test_the_rights_in_clickhouse_are_those_that_migrate_prints() -> None:
    assert rights() in (DOCS / "how-to" / "secure.md").read_text(encoding="utf-8")


def test_every_command_has_an_example() -> None:
    assert set(EXAMPLES) == {call.name for call in calls(parser())}


@pytest.mark.parametrize("page", documents(), ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_parse(page: Path) -> None:
    names = {section: [field.name for field in dataclasses.fields(cls)] for section, cls in SETTINGS.items()}
    for variables, arguments in commands_in(page.read_text(encoding="utf-8")):
        why = refusal(arguments)
        assert why is None, f"evometrics {shlex.join(arguments)}: {why}"
        check_names(names, variables, {})


def test_a_command_that_does_not_parse_is_seen() -> None:
    page = (
        "```bash\n# evometrics none\nA=1 evometrics up --sinks NUMBER --data /tmp/x > out\n"
        "true && .venv/bin/evometrics topics \\\n  --partitions few | cat\n"
        "cat > file <<'END'\nit's no command\nEND\n$ evometrics sql 'SELECT 1, # two\n  3'\n```\n"
        "```text\nevometrics neither\n```\n"
    )
    (first, one), (_, other), (_, query) = commands_in(page)
    assert (first, one) == ({"A": "1"}, ["up", "--sinks", "NUMBER", "--data", "/tmp/x"])
    assert query == ["sql", "SELECT 1, # two\n  3"]
    assert refusal(one) is None
    assert "few" in str(refusal(other))
    assert refusal(["replay", "--source", "nowhere"])
    assert refusal(["import"])


@pytest.mark.parametrize("page", documents(), ids=lambda page: str(page.relative_to(ROOT)))
def test_settings_in_toml_are_known(page: Path) -> None:
    names = {section: [field.name for field in dataclasses.fields(cls)] for section, cls in SETTINGS.items()}
    for _, _, language, block in FENCE.findall(page.read_text(encoding="utf-8")):
        if language == "toml" and SETTINGS.keys() & tomllib.loads(block).keys():
            check_names(names, {}, tomllib.loads(block))


@pytest.mark.parametrize("page", documents(), ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"`[^`\n]*`", "", FENCE.sub("", page.read_text(encoding="utf-8")))
    for target in LINK.findall(text):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        assert file.exists(), f"{target}: there is no such file"
        if anchor and file.suffix == ".md":
            assert anchor in anchors(file), f"{target}: no such heading, or GitHub names it otherwise"


def test_a_link_that_leads_nowhere_is_seen(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# One `two`\n\n## It's 3. done\n\n## A & b\n\n```text\n# no heading\n```\n")
    assert anchors(page) == {"one-two", "its-3-done"}


def test_every_section_of_the_design_that_the_code_cites_is_there() -> None:
    cited: dict[str, str] = {}
    for folder in CODE:
        for file in (ROOT / folder).rglob("*"):
            if file.suffix in (".py", ".pyx", ".pxi", ".pxd", ".sql", ".avsc"):
                for number in CITED.findall(file.read_text(encoding="utf-8")):
                    cited[number] = str(file.relative_to(ROOT))
    assert cited, "no code cites the design any more: take this test out"
    headings = [title for _, title, _ in HEADING.findall(DESIGN.read_text(encoding="utf-8"))]
    numbers = {found[1] for title in headings if (found := re.match(r"(\d+)\b", title))}
    assert cited.keys() <= numbers, {n: file for n, file in cited.items() if n not in numbers}


@pytest.mark.parametrize(("language", "file"), [("java", "java/Publish.java"), ("go", "go/publish.go")])
def test_the_programs_on_the_page_are_those_that_run(language: str, file: str) -> None:
    page = (DOCS / "how-to" / "publish-from-other-clients.md").read_text(encoding="utf-8")
    (shown,) = [block for _, _, name, block in FENCE.findall(page) if name == language]
    assert shown == (ROOT / "examples" / file).read_text(encoding="utf-8"), "copy the file into the page"
    pinned = re.findall(r"<version>(\S+)</version>", (ROOT / "examples/java/pom.xml").read_text())[1:]
    assert [version for version in pinned if f"<version>{version}</version>" in page] == pinned
