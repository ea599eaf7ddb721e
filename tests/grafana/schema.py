"""The files by Grafana's own schema: the types of npm's @grafana/schema, made into JSON schemas.

It has a type for a dashboard, and for each kind of panel one of its options and one of its fields' options.
Its types stand for what Grafana's front end of that version reads.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jsonschema import Draft7Validator
from jsonschema.exceptions import ValidationError

from tests.clients.outside import execute, installed
from tests.grafana.panels import NAMES, dashboard, panels

VERSION, GENERATOR = "13.2.3", "2.4.0"
TYPES = "node_modules/@grafana/schema/dist/types/raw"
#: Kinds of panels, and whether their fields have options of their own.
KINDS = {"stat": False, "timeseries": True, "table": True, "state-timeline": True}


def checked(folder: Path) -> int:
    """Print a line for each file; 1 where one is not as the schema wants it."""
    packages = (f"@grafana/schema@{VERSION}", f"ts-json-schema-generator@{GENERATOR}")
    installed(["npm", "install", "--silent", "--prefix", folder, *packages], folder)
    whole = schema(folder, "dashboard/x", "Dashboard")
    options, fields = {}, {}
    for kind, has_fields in KINDS.items():
        where = f"composable/{kind.replace('-', '')}/panelcfg/x"
        options[kind] = schema(folder, where, "Options")
        if has_fields:
            fields[kind] = schema(folder, where, "FieldConfig")
    right = True
    for name in NAMES:
        wrong = [said(error) for error in whole.iter_errors(dashboard(name))]
        for panel in panels(name):
            parts = [(options[panel["type"]], panel.get("options", {}))]
            if panel["type"] in fields:
                parts.append((fields[panel["type"]], panel["fieldConfig"]["defaults"].get("custom", {})))
            wrong += [f"{panel['title']}: {each}" for part in parts for each in errors(*part)]
        print(f"{name}.json by @grafana/schema {VERSION}: {len(panels(name))} panels, {len(wrong)} errors")
        print(*(f"  {each}" for each in wrong), sep="\n", end="\n" if wrong else "")
        right &= not wrong
    return 0 if right else 1


def schema(folder: Path, where: str, kind: str) -> Draft7Validator:
    """Return what validates a type of the package."""
    types = Path(TYPES) / where / "types.gen.d.ts"
    program = folder / "node_modules" / ".bin" / "ts-json-schema-generator"
    done = execute([program, "--no-type-check", "--path", types, "--type", kind], folder)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return Draft7Validator(json.loads(done.stdout))


def errors(validator: Draft7Validator, value: Any) -> Iterator[str]:
    """Yield what is wrong with a value."""
    yield from map(said, validator.iter_errors(value))


def said(error: ValidationError) -> str:
    return f"{'/'.join(map(str, error.absolute_path))}: {error.message[:300]}"
