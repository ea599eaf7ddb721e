"""A module that may be compiled, both ways in one process."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from types import ModuleType
from typing import Any

import pytest

from evometrics.schemas.service.compiled import ROOT, is_compiled


@cache
def plain(name: str) -> ModuleType:
    """Return a module from its Python source, which no other module sees; what it imports is as it runs."""
    source = ROOT.joinpath(*name.split(".")[1:]).with_suffix(".py")
    spec = spec_from_file_location(name, source)
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def twins(name: str) -> tuple[Any, Any]:
    """Return a module compiled, and from its source. The test is skipped where it is not compiled."""
    if not is_compiled(name):
        pytest.skip(f"{name} is not compiled here")
    return import_module(name), plain(name)


def outcome(call: Any, *given: Any) -> str:
    """Return what a call returns or raises, as text that shows each bit of a number, and each type."""
    try:
        return repr(call(*given))
    except Exception as error:
        return "unusual" if type(error).__name__ == "Unusual" else f"raised {type(error).__name__}"
