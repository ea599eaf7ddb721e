"""A client for any schema registry with Confluent's REST API; registers and looks up, caches for good."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any

from evometrics.schemas.catalog import WriterSchema, writer_schema

CONTENT_TYPE = "application/vnd.schemaregistry.v1+json"
NOT_FOUND = 404


class RegistryUnavailable(ConnectionError):
    """The registry can't be reached or refused; the message names its URL and what to do."""


class UnknownSchemaId(KeyError):
    """The registry answered, and does not know this id."""

    def __str__(self) -> str:
        return str(self.args[0])


class RegistryClient:
    """Blocking; ids and schemas never change in a registry, so each is asked for once."""

    def __init__(self, url: str, timeout: float = 5.0) -> None:
        self.url = url.rstrip("/")
        self.timeout = timeout
        self.schemas: dict[int, WriterSchema] = {}

    def register(self, subject: str, schema: dict[str, Any]) -> int:
        """Register a schema under a subject (again: no change) and return its id.

        Raises `RegistryUnavailable`, also where the registry finds the schema incompatible.
        """
        answer = self.call(f"/subjects/{subject}/versions", {"schema": json.dumps(schema)})
        return int(answer["id"])

    def schema(self, number: int) -> WriterSchema:
        """Return the schema with this id. Raises `UnknownSchemaId`, `RegistryUnavailable`."""
        found = self.schemas.get(number)
        if found is None:
            source = json.loads(self.call(f"/schemas/ids/{number}")["schema"])
            found = self.schemas[number] = writer_schema(record_folder(source["name"]), 0, source)
        return found

    def call(self, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Send one request and return the answer's JSON."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {"Content-Type": CONTENT_TYPE})
        try:
            with urllib.request.urlopen(request, timeout=self.timeout) as response:
                answer: dict[str, Any] = json.load(response)
                return answer
        except urllib.error.HTTPError as error:
            text = error.read(500).decode(errors="replace")
            if error.code == NOT_FOUND and body is None:
                raise UnknownSchemaId(f"schema registry {self.url} knows no {path}") from None
            raise RegistryUnavailable(f"schema registry {self.url}{path}: {error.code} {text}") from None
        except (OSError, ValueError) as error:
            raise RegistryUnavailable(
                f"schema registry {self.url}: {error}; start it or correct registry_url"
            ) from None


def record_folder(name: str) -> str:
    """Return the folder of a record's name: EvolutionStarted -> evolution_started."""
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in name).lstrip("_")
