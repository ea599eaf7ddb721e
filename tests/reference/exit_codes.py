"""exit-codes.md: from `ExitCode`."""

from __future__ import annotations

from evometrics.deploy.exit_codes import ExitCode
from tests.reference.markdown import cell, code, document, table, wrapped


def page() -> str:
    """Return the page."""
    return document(
        "Exit codes",
        wrapped(
            "Every command of `evometrics` ends with one of these codes. Results go to standard output; what "
            "went wrong, and the way out of it, goes to standard error. An error that a person can fix "
            "is one line (with its traceback under `--traceback`); any other error keeps its traceback."
        ),
        table(
            ["code", "name", "meaning"],
            ([code(str(int(each))), code(each.name), cell(each.meaning)] for each in ExitCode),
        ),
        wrapped("The names are those of `evometrics.deploy.exit_codes.ExitCode`."),
    )
