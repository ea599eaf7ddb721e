"""What a machine takes from where it stands: the way to the package index, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

PREFIXES = ("PIP_", "UV_")
NAMES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
PATH = "/usr/local/bin:/usr/bin:/bin"


def handed_in(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that lead to the package index from here: its settings, proxy and certificates.

    A variable that names a folder or a file that is not there stays behind.
    """
    found = {
        name: value for name, value in environ.items() if name.startswith(PREFIXES) or name.upper() in NAMES
    }
    return {
        name: value for name, value in found.items() if not value.startswith("/") or Path(value).is_file()
    }


def files(variables: Mapping[str, str]) -> set[Path]:
    """Return the files that the variables name."""
    return {Path(value) for value in variables.values() if value.startswith("/")}
