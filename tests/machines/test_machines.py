"""What is said of a bare machine is what its commands printed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.machines import outcome, readme
from tests.machines.cases import MACHINES, chosen
from tests.machines.outcome import Outcome
from tests.machines.surroundings import files, handed_in

README = (Path(__file__).parents[2] / "README.md").read_text()


def test_readmes_commands_are_run_as_they_stand_there() -> None:
    first, second = readme.command(README, readme.DEMO), readme.command(README, readme.TESTS)
    assert first.endswith("&& .venv/bin/evometrics demo")
    assert ".venv/bin/pytest" in second
    assert all(f"\n{command}\n" in README for command in (first, second))
    with pytest.raises(ValueError, match="no command behind '## Nothing'"):
        readme.command(README, "## Nothing")


def test_readme_says_how_uv_takes_the_place_of_pip() -> None:
    assert f"`{readme.UV}`" in README
    command = readme.with_uv(readme.command(README, readme.DEMO))
    assert command.startswith("uv venv --allow-existing .venv && uv pip install -q -c constraints.txt")
    assert "-m venv" not in command


def test_the_demo_is_right_where_every_topic_of_readmes_example_is_equal() -> None:
    assert outcome.of_demo(README, 0) == ("9 of 9 topics equal", True)
    assert outcome.of_demo(README.replace("200  equal", "199  DIFFERENT", 1), 0)[1] is False
    assert outcome.of_demo(README, 1)[1] is False
    assert outcome.of_demo("error: no matching distribution", 0) == (
        "exit code 0, 0 of 9 topics equal",
        False,
    )


def test_a_build_is_right_where_it_is_plain_python_and_tests_where_all_passed() -> None:
    assert outcome.of_version("evometrics 1.0 (plain Python; for the speed ...)", 0) == ("plain Python", True)
    assert outcome.of_version("evometrics 1.0 (compiled)\n", 0) == ("evometrics 1.0 (compiled)", False)
    assert outcome.of_tests("===== 12 passed, 1 skipped in 3.21s =====", 0) == ("12 passed, 1 skipped", True)
    assert outcome.of_tests("1 failed, 3 passed in 2.1s", 1) == ("exit code 1", False)


def test_a_machine_gets_the_way_to_the_package_index_and_nothing_else(tmp_path: Path) -> None:
    bundle = tmp_path / "bundle.pem"
    bundle.touch()
    environ = {
        "PIP_DEFAULT_TIMEOUT": "180",
        "PIP_FIND_LINKS": str(tmp_path / "wheels"),
        "SSL_CERT_FILE": str(bundle),
        "https_proxy": "http://127.0.0.1:3128",
        "HOME": "/root",
        "JAVA_HOME": "/usr/lib/jvm",
    }
    found = handed_in(environ)
    assert sorted(found) == ["PIP_DEFAULT_TIMEOUT", "SSL_CERT_FILE", "https_proxy"]
    assert files(found) == {bundle}


def test_machines_are_chosen_by_name() -> None:
    assert chosen([]) == MACHINES
    assert [machine.suite for machine in chosen(["uv", "bookworm"])] == ["trixie", "bookworm"]
    with pytest.raises(ValueError, match="no machine is called bullseye: there are bookworm, "):
        chosen(["bullseye"])


def test_the_table_has_a_line_for_each_command() -> None:
    lines = outcome.table([Outcome("Debian 12, Python 3.11", "first", 6.04, "9 of 9 topics equal", True)])
    assert lines.splitlines()[-1] == "| Debian 12, Python 3.11 | first | 6.0 | 9 of 9 topics equal |"
