"""The documents: the reference is what the code says, commands parse, links lead somewhere.

`python -m tests.reference` writes the reference. Whether a page names everything is asked of the code anew
here, not of the modules that write the pages.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import dataclasses
import io
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from evometrics.deploy.cli.main import CommandParser, parser
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
from tests.reference.examples import EXAMPLES
from tests.reference.pages import FOLDER, PAGES
from tests.reference.python_api import PUBLIC, public
from tests.reference.sql_tables import tables

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
DESIGN = DOCS / "explanation" / "design.md"
CODE = ("schemas", "producers", "streams", "sinks", "deploy")
SETTINGS: dict[str, type[Any]] = {**LOCAL, "collector": CollectorSettings}
FENCE = re.compile(r"^( *)(`{3,})([\w-]*)[^\n]*\n(.*?)^\1\2`*$", re.M | re.S)
LINK = re.compile(r"!?\[(?:[^\[\]]|\[[^\]]*\])*\]\(<?([^)\s>]+)>?(?: \"[^\"]*\")?\)")
HEADING = re.compile(r"^(#{1,6}) +(.+?)(?: +\{#([\w-]+)\})? *#*$", re.M)
CITED = re.compile(r"\bdesign(?:\.md)?,? (?:section |§ ?)?(\d+)\b")
#: A word of a command that stands for another.
PLACEHOLDER = re.compile(r"[A-Z][A-Z0-9_:/.-]*")
HERE_DOCUMENT = re.compile(r"<<-?\s*(['\"]?)(\w+)\1.*?\n(.*?\n)?\s*\2$", re.M | re.S)
SEPARATORS = frozenset({"&&", "||", "|", ";", "&"})


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


class Call(NamedTuple):
    """A command that can be called, and its parser."""

    name: str
    parser: argparse.ArgumentParser


def calls(root: argparse.ArgumentParser, name: str = "") -> Iterator[Call]:
    """Give every command that can be called, with its flags."""
    if isinstance(root, CommandParser):
        root.load()
    below = [each for each in root._actions if isinstance(each, argparse._SubParsersAction)]
    if not below:
        yield Call(name, root)
    for action in below:
        for word, deeper in action.choices.items():
            yield from calls(deeper, f"{name} {word}".strip())


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


def test_every_command_has_an_example() -> None:
    assert set(EXAMPLES) == {call.name for call in calls(parser())}


def words_of(block: str) -> Iterator[list[str]]:
    """Give the words of each command in a block of shell, those that other commands feed included."""
    command = ""
    for line in HERE_DOCUMENT.sub("", block).replace("\\\n", " ").split("\n"):
        command += re.sub(r"^\s*\$ ", "", line) + "\n"
        lexer = shlex.shlex(command, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        try:
            found = list(lexer)
        except ValueError:  # a quotation goes on in the next line
            continue
        command = ""
        words: list[str] = []
        for word in [*found, ";"]:
            if word in SEPARATORS:
                yield words
                words = []
            else:
                words.append(word)
    assert not command, f"no closing quotation: {command}"


def commands_in(text: str) -> Iterator[tuple[dict[str, str], list[str]]]:
    """Give the variables and the arguments of each call of `evometrics` in a page's blocks of shell."""
    for _, _, language, block in FENCE.findall(text):
        if language not in ("bash", "sh", "shell", "console"):
            continue
        for words in words_of(block):
            given = {}
            while words and re.match(r"\w+=", words[0]):
                name, _, value = words.pop(0).partition("=")
                given[name] = value
            if words and words[0] in ("evometrics", ".venv/bin/evometrics"):
                redirected = next((n for n, word in enumerate(words) if word[0] in "<>"), len(words))
                yield given, words[1:redirected]


class Choices(list[Any]):
    """Choices of a flag, and any placeholder."""

    def __contains__(self, value: object) -> bool:
        return list.__contains__(self, value) or is_placeholder(value)


def is_placeholder(value: object) -> bool:
    """Return whether a word stands for another."""
    return isinstance(value, str) and PLACEHOLDER.fullmatch(value) is not None


def lenient(root: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Return a parser that takes a word in capitals for any value."""
    for call in calls(root):
        for action in call.parser._actions:
            if action.type is not None:
                action.type = or_placeholder(action.type)
            if action.choices is not None:
                action.choices = Choices(action.choices)
    return root


def or_placeholder(parse: Any) -> Any:
    """Return what parses a value or leaves a placeholder as it is."""

    def parsed(text: str) -> Any:
        return text if is_placeholder(text) else parse(text)

    parsed.__name__ = getattr(parse, "__name__", "value")
    return parsed


def refusal(arguments: list[str]) -> str | None:
    """Return why the command line refuses arguments, None where it takes them."""
    told = io.StringIO()
    with contextlib.redirect_stderr(told), contextlib.redirect_stdout(told):
        try:
            lenient(parser()).parse_args(arguments)
        except SystemExit as end:
            if end.code:
                return told.getvalue()
    return None


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
    assert refusal(["sql"])


@pytest.mark.parametrize("page", documents(), ids=lambda page: str(page.relative_to(ROOT)))
def test_settings_in_toml_are_known(page: Path) -> None:
    names = {section: [field.name for field in dataclasses.fields(cls)] for section, cls in SETTINGS.items()}
    for _, _, language, block in FENCE.findall(page.read_text(encoding="utf-8")):
        if language == "toml" and SETTINGS.keys() & tomllib.loads(block).keys():
            check_names(names, {}, tomllib.loads(block))


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings that GitHub and MkDocs make alike."""
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    seen: dict[str, int] = {}
    found = set(re.findall(r'<a (?:id|name)="([^"]+)"', text))
    for _, title, given in HEADING.findall(text):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title).replace("`", "").strip().lower()
        github = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        mkdocs = given or re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", plain).strip())
        number = seen[github] = seen.get(github, 0) + 1
        if number == 1 and (given or github == mkdocs):
            found.add(mkdocs)
    return found


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
            if file.suffix in (".py", ".pyx", ".pxi", ".pyi", ".sql", ".avsc"):
                for number in CITED.findall(file.read_text(encoding="utf-8")):
                    cited[number] = str(file.relative_to(ROOT))
    assert cited, "no code cites the design any more: take this test out"
    if DESIGN.exists():
        headings = [title for _, title, _ in HEADING.findall(DESIGN.read_text(encoding="utf-8"))]
        numbers = {found[1] for title in headings if (found := re.match(r"(\d+)\b", title))}
        assert cited.keys() <= numbers, {n: file for n, file in cited.items() if n not in numbers}
