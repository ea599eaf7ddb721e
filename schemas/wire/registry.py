"""A client for any schema registry with Confluent's REST API; registers and looks up, caches permanently.

Where a registry is unreachable (`RegistryUnavailable`) the caller tries again; an answer that is truncated,
or that no registry would give, means the same. Where a schema can't be registered (`IncompatibleSchema`)
another attempt does not help.
"""

from __future__ import annotations

import http.client
import json
import ssl
import time
import urllib.error
import urllib.request
from base64 import b64encode
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from evometrics.schemas.errors import EvometricsError
from evometrics.schemas.service.registry_access import TLS_NAMES, RegistryAccess, registry_access
from evometrics.schemas.service.settings import KafkaSettings, masked
from evometrics.schemas.service.tls import HUNG_UP, causes, tls_context, why_hung_up, why_refused
from evometrics.schemas.wire.catalog import WriterSchema, writer_schema
from evometrics.schemas.wire.compatibility import IncompatibleSchema, check_compatible

CONTENT_TYPE = "application/vnd.schemaregistry.v1+json"
#: Every version with every other one, in both directions: what `check_compatible` checks for two.
COMPATIBILITY = "FULL_TRANSITIVE"
#: The registry's codes for "no such subject, version, schema", unlike a 404 for an unknown path.
NOT_THERE = frozenset({40401, 40402, 40403})
#: Incompatible with what is registered; not a valid schema.
REFUSED = frozenset({409, 422})
#: Most bytes of an answer: schemas take a few thousand.
MOST_BYTES = 10_000_000
#: The largest id that fits a message's four bytes, which Confluent's clients read as a signed number.
MOST_ID = 2**31 - 1
#: One that anyone may use.
OPEN = RegistryAccess()
#: A registry also answers with a conflict while several parts create a subject at the same time.
TRIES = 3


class RegistryUnavailable(EvometricsError, ConnectionError):
    """The registry can't be reached or can't answer; the message names its URL and what to do."""


class RegistryRefused(RegistryUnavailable):
    """The registry answers, and lets this client not in, or not do that; the message says what to set."""


class UnknownSchemaId(KeyError):
    """The registry answered, and has no record under this id."""

    def __str__(self) -> str:
        return str(self.args[0])


class RegistryClient:
    """Blocking; ids and schemas never change in a registry, so each is requested once.

    Raises `SettingsError` where a certificate that it is to use can't be loaded.
    """

    def __init__(self, url: str, timeout: float = 5.0, access: RegistryAccess = OPEN) -> None:
        self.url = url.rstrip("/")
        self.access = access
        self.context = self.tls() if self.url.startswith("https://") else None
        self.name = f"schema registry {masked(self.url)}"
        self.timeout = timeout
        self.schemas: dict[int, WriterSchema] = {}

    def register(self, subject: str, schema: dict[str, Any]) -> int:
        """Register a schema under a subject (again: no change) and return its id.

        From then on the subject accepts only fully compatible versions. Raises `IncompatibleSchema`, naming
        field and reason, where this one is not, and where it is not there and may not be registered;
        `RegistryUnavailable`.
        """
        body = {"schema": json.dumps(schema)}
        refused: IncompatibleSchema | None = None
        for _ in range(TRIES):
            found = self.call(f"/subjects/{subject}", body)
            if found is not None:
                return self.id_in(found)
            self.compare(subject, schema)
            if self.access.read_only:
                raise IncompatibleSchema(
                    f"{self.name} lacks this build's {schema.get('name')} under {subject}, and "
                    "registry_read_only is set: have `evometrics topics` register it as a user who may, "
                    "without that setting"
                )
            with suppress(IncompatibleSchema):  # another process is setting it at the same moment
                self.call(f"/config/{subject}", {"compatibility": COMPATIBILITY}, "PUT")
            try:
                found = self.call(f"/subjects/{subject}/versions", body)
            except IncompatibleSchema as error:
                refused = error
                continue
            if found is not None:
                return self.id_in(found)
        raise refused or RegistryUnavailable(f"{self.name} accepts no schema for {subject}")

    def compare(self, subject: str, schema: dict[str, Any]) -> None:
        """Raise `IncompatibleSchema`, naming the field, where the subject's latest version conflicts."""
        latest = self.call(f"/subjects/{subject}/versions/latest")
        if latest is None:
            return
        try:
            check_compatible(json.loads(latest["schema"]), schema)
        except IncompatibleSchema as error:
            raise IncompatibleSchema(
                f"{self.name} has version {latest['version']} of {subject}: {error}"
            ) from None
        except (KeyError, TypeError, ValueError) as error:
            raise IncompatibleSchema(
                f"{self.name} has no Avro record under {subject} ({error!r}): use another "
                "registry, or delete the subject"
            ) from None

    def latest(self, subject: str) -> WriterSchema | None:
        """Return a subject's newest schema, None if it has none. Raises `RegistryUnavailable`."""
        answer = self.call(f"/subjects/{subject}/versions/latest")
        if answer is None:
            return None
        try:
            source = json.loads(answer["schema"])
            return writer_schema(record_folder(source["name"]), 0, source)
        except Exception as error:  # whatever fastavro raises for what is not Avro, or not a record
            raise IncompatibleSchema(
                f"{self.name}: the newest version of {subject} is not an Avro record: {error!r}"
            ) from None

    def schema(self, number: int) -> WriterSchema:
        """Return the schema with this id. Raises `UnknownSchemaId`, `RegistryUnavailable`."""
        found = self.schemas.get(number)
        if found is None:
            path = f"/schemas/ids/{number}"
            answer = self.call(path)
            if answer is None:
                raise UnknownSchemaId(f"{self.name} has no {path}")
            if not (isinstance(answer, dict) and isinstance(answer.get("schema"), str)):
                raise RegistryUnavailable(
                    f"{self.name}{path} returned no schema: {json.dumps(answer):.100}; correct registry_url"
                )
            try:
                source = json.loads(answer["schema"])
                found = writer_schema(record_folder(source["name"]), 0, source)
            except Exception as error:  # whatever fastavro raises for what is not Avro, or not a record
                raise UnknownSchemaId(f"{self.name}{path} is not an Avro record: {error!r}") from None
            self.schemas[number] = found
        return found

    def call(self, path: str, body: dict[str, Any] | None = None, method: str | None = None) -> Any:
        """Send one request and return the answer's JSON, None where the registry has no such object.

        Raises `IncompatibleSchema` where the registry refuses a schema, `RegistryUnavailable`.
        """
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {"Content-Type": CONTENT_TYPE}, method=method)
        if login := self.authorization():  # which a redirect must not take to another server
            request.add_unredirected_header("Authorization", login)
        try:
            with urllib.request.urlopen(request, timeout=self.timeout, context=self.context) as response:
                answer = json.loads(read_within(response, MOST_BYTES, self.timeout))
        except urllib.error.HTTPError as error:
            text = text_of(error, self.timeout)
            if error_code(text) in NOT_THERE:
                return None
            if error.code in REFUSED:
                raise IncompatibleSchema(
                    f"{self.name}{path} rejects the schema: {shown(text)}; add a version that is compatible "
                    "with the existing ones, or use another registry"
                ) from None
            if error.code in (401, 403):
                raise RegistryRefused(self.refusal(error.code, path, shown(text[:300]))) from None
            raise RegistryUnavailable(
                f"{self.name}{path}: {error.code} {shown(text[:500])}; correct registry_url, or see "
                "the registry's log"
            ) from None
        except (OSError, ValueError, http.client.HTTPException, RecursionError) as error:
            if (why := self.insecure(error)) is not None:
                raise RegistryRefused(f"{self.name} {why}") from None
            raise RegistryUnavailable(
                f"{self.name}: {shown(str(error) or repr(error))}; start it or correct registry_url"
            ) from None
        if answer is None:  # unlike an answer that there is no such object
            raise RegistryUnavailable(f"{self.name}{path} returned null; correct registry_url")
        return answer

    def tls(self) -> ssl.SSLContext:
        """Return the context of its connections. Raises `SettingsError`."""
        return tls_context(TLS_NAMES, self.access.cafile, self.access.certfile, self.access.keyfile)

    def authorization(self) -> str:
        """Return what a request logs in with, empty for nothing."""
        if self.access.token:
            return f"Bearer {self.access.token}"
        pair = f"{self.access.user}:{self.access.password}"
        return f"Basic {b64encode(pair.encode()).decode()}" if self.access.user else ""

    def refusal(self, code: int, path: str, said: str) -> str:
        """Return what to set, or to grant, where the registry answers 401 or 403."""
        user, token = self.access.user, self.access.token
        if code == 403:
            who = f"user {user!r}" if user else "the owner of registry_token" if token else "everybody"
            grant = "grant it the right to read subjects and schemas"
            if path.startswith("/config") or path.endswith("/versions"):
                grant = "grant it the right to write, or set registry_read_only once schemas are registered"
            return f"{self.name}{path} is denied to {who} (403 {said}): {grant}"
        if user:
            return (
                f"{self.name} refuses user {user!r} (401 {said}): correct registry_user or registry_password"
            )
        if token:
            return f"{self.name} refuses registry_token (401 {said}): set one that is valid"
        ways = "set registry_user and registry_password, or registry_token"
        return f"{self.name} wants a login (401 {said}): {ways}"

    def insecure(self, error: BaseException) -> str | None:
        """Return why TLS lets us not in, and what to set; None for any other error."""
        parts = urlsplit(self.url)
        host, cert = parts.hostname or "", self.access.certfile
        if (why := why_refused(error, TLS_NAMES, host, cert)) is not None:
            return why
        if not any(isinstance(cause, HUNG_UP) for cause in causes(error)):
            return None
        address = (host, parts.port or (443 if self.context else 80))
        return why_hung_up(TLS_NAMES, address, self.context, host, cert)

    def id_in(self, answer: Any) -> int:
        """Return the schema id of an answer. Raises `RegistryUnavailable` where it has none."""
        number = answer.get("id") if isinstance(answer, dict) else None
        if type(number) is not int or not 0 <= number <= MOST_ID:
            raise RegistryUnavailable(
                f"{self.name} returned no schema id: {json.dumps(answer):.100}; correct registry_url"
            )
        return number


def read_within(answer: Any, most: int, seconds: float) -> bytes:
    """Read a body of at most `most` bytes. Raises `TimeoutError` where it takes longer than `seconds`."""
    deadline = time.monotonic() + seconds
    found = bytearray()
    while len(found) < most and (part := answer.read1(most - len(found))):
        found += part
        if time.monotonic() > deadline:
            raise TimeoutError(f"its answer was still incomplete after {seconds:g} s")
    if len(found) < most and answer.length:
        raise http.client.IncompleteRead(bytes(found), answer.length)
    return bytes(found)


def text_of(error: urllib.error.HTTPError, seconds: float) -> str:
    """Return the beginning of an error's text; empty where it can't be read."""
    try:
        return read_within(error, 2000, seconds).decode(errors="replace")
    except (OSError, http.client.HTTPException):
        return ""


def shown(text: str) -> str:
    """Return a registry's text fit for a message: on one line, without secrets."""
    line = " ".join(str(masked(text)).split())
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in line)


def error_code(text: str) -> int | None:
    """Return the `error_code` of a registry's answer, None where it has none."""
    try:
        return int(json.loads(text)["error_code"])
    except (KeyError, TypeError, ValueError):
        return None


def record_folder(name: str) -> str:
    """Return the folder of a record's name: EvolutionStarted -> evolution_started."""
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in name).lstrip("_")


def open_registry(kafka: KafkaSettings) -> RegistryClient | None:
    """Return the client of the registry that the settings name, None if they name none.

    Raises `SettingsError` where a certificate can't be loaded.
    """
    return RegistryClient(kafka.registry_url, access=registry_access(kafka)) if kafka.registry_url else None
