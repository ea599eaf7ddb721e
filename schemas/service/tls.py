"""TLS of a client: which certificates it trusts and shows, and why a connection is refused.

Errors name the settings by which the part in question is set, which `TlsNames` holds.
"""

from __future__ import annotations

import functools
import socket
import ssl
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from evometrics.schemas.service.checks import SettingsError, require
from evometrics.schemas.service.security import HIDDEN

#: Codes of OpenSSL for a certificate that is another host's, or not valid at this time.
OTHER_HOST = (62, 64)
NOT_YET_VALID, EXPIRED = 9, 10
PROBE_SECONDS = 3.0
#: What a client sees of a server that hangs up in the midst of TLS.
HUNG_UP = (ConnectionResetError, BrokenPipeError, ssl.SSLEOFError)
#: What OpenSSL says of a listener that does not speak TLS.
PLAINTEXT = frozenset({"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "UNKNOWN_PROTOCOL", "HTTP_REQUEST"})


@dataclass(frozen=True, slots=True)
class TlsNames:
    """The settings by which a part's TLS is set.

    Attributes:
        url: its address.
        ca: PEM file with the certificates of the authorities to trust; empty = the system's.
        cert: PEM file with the client's certificate and its intermediates; empty = none is shown.
        key: PEM file with its key; empty = it is in `cert`.
        host: the name that the server's certificate has, where that is not the URL's; empty if there is no
            such setting.
        password: what the key is encrypted with; empty if there is no such setting.
    """

    url: str
    ca: str
    cert: str
    key: str
    host: str = ""
    password: str = ""


def check_tls(names: TlsNames, url: str, ca: str, cert: str, key: str, host: str = "") -> None:
    """Raise `SettingsError` if one of a part's TLS settings has no effect, for its URL or without another."""
    given = {names.ca: ca, names.cert: cert, names.key: key, names.host: host}
    for name, value in given.items():
        reason = f"has no effect on an http:// address: make {names.url} an https:// one, or leave this out"
        require(not value or url.startswith("https://"), name, value, reason)
    require(not key or bool(cert), names.key, key, f"set {names.cert} to the certificate of this key")


@functools.lru_cache(maxsize=8)
def tls_context(
    names: TlsNames, ca: str, cert: str, key: str, password: str = "", check_hostname: bool = True
) -> ssl.SSLContext:
    """Return the context of all of a part's connections with these settings.

    To load one costs more than to connect; files that are renewed are read after a restart. Raises
    `SettingsError` where a file can't be read, is not PEM, or has a key that the password does not open.
    """
    ca, cert, key = (str(Path(path).expanduser()) if path else "" for path in (ca, cert, key))
    try:
        context = ssl.create_default_context(cafile=ca or None)
    except OSError as error:  # an ssl.SSLError is one
        raise unusable(names.ca, ca, error, "PEM file with certificates") from None
    context.check_hostname = check_hostname
    if not cert:
        return context
    for name, path in ((names.cert, cert), (names.key, key or cert)):
        try:
            Path(path).read_bytes()
        except OSError as error:
            raise unusable(name, path, error, "PEM file") from None
    try:
        context.load_cert_chain(cert, key or None, password)  # None would be asked for at the terminal
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            reason = "the key does not belong to this certificate: give those of one client"
            raise SettingsError(f"setting {names.cert}={cert!r}: {reason}") from None
        name, path = (names.key, key) if key else (names.cert, cert)
        if b"ENCRYPTED" not in Path(path).read_bytes():
            raise unusable(names.cert, cert, error, "PEM file with certificate and key") from None
        if names.password:
            reason = "does not open the key: correct it"
            raise SettingsError(f"setting {names.password}={HIDDEN!r}: {reason}") from None
        reason = "its key is encrypted: `openssl pkey -in FILE -out KEY.pem` writes one that is not"
        raise SettingsError(f"setting {name}={path!r}: {reason}") from None
    return context


def unusable(name: str, path: str, error: OSError, wanted: str) -> SettingsError:
    """Return the error to raise where a file can't be read, or has other contents than it should."""
    why = f"not a {wanted}" if isinstance(error, ssl.SSLError) else str(error.strerror)
    return SettingsError(f"setting {name}={path!r}: {why}")


def why_refused(error: BaseException, names: TlsNames, host: str, cert: str) -> str | None:
    """Return why a TLS connection failed, and what to set, as what a server does; None for other errors.

    `host`: the name that its certificate was checked for; `cert`: the certificate that we show, if any.
    """
    for cause in causes(error):  # aiohttp's errors are SSLErrors without the attributes of one
        if isinstance(cause, ssl.SSLCertVerificationError) and hasattr(cause, "verify_code"):
            return untrusted(cause, names, host)
        reason = getattr(cause, "reason", None) if isinstance(cause, ssl.SSLError) else None
        if reason is None:
            continue
        if "ALERT" in reason and cert:
            return f"refuses the certificate in {names.cert}={cert} ({reason}): set one that it trusts"
        if "ALERT" in reason:
            return f"wants a certificate of its clients ({reason}): set {names.cert} and {names.key}"
        if reason in PLAINTEXT:
            return (
                f"does not speak TLS on this port: make {names.url} an http:// address, or correct its port"
            )
    return None


def untrusted(error: ssl.SSLCertVerificationError, names: TlsNames, host: str) -> str:
    """Return why a server's certificate is not trusted, and what to set."""
    if error.verify_code in OTHER_HOST:
        other = f", or set {names.host} to a name that is" if names.host else ""
        return f"has a certificate that is not for {host}: use a name that is in it in {names.url}{other}"
    if error.verify_code == EXPIRED:
        return "has a certificate that has expired: renew it"
    if error.verify_code == NOT_YET_VALID:
        return "has a certificate that is not valid yet: set this machine's clock, or its authority's"
    return (
        f"has a certificate of an authority that is not trusted here ({error.verify_message}): set "
        f"{names.ca} to the certificate of that authority"
    )


def why_hung_up(
    names: TlsNames, address: tuple[str, int], context: ssl.SSLContext | None, host: str, cert: str
) -> str | None:
    """Return why a server hangs up on a client without a word, as `why_refused` does; None if unknown.

    Clients lose the alert with which TLS 1.3 refuses a client certificate, or the lack of one, as it arrives
    after the handshake. So it is waited for on a connection that sends nothing; blocking. `context`: None for
    plaintext, in which a client may have met a server that speaks TLS.
    """
    ours = context or ssl._create_unverified_context()
    try:
        with (
            socket.create_connection(address, PROBE_SECONDS) as plain,
            ours.wrap_socket(plain, server_hostname=host) as secured,
        ):
            secured.settimeout(PROBE_SECONDS)
            with suppress(TimeoutError):  # it waits for a request
                secured.recv(1)
    except ssl.SSLError as error:
        if context is not None:
            return why_refused(error, names, host, cert)
        if "ALERT" not in (error.reason or ""):
            return None
    except OSError:
        return None
    return f"speaks TLS on this port: make {names.url} an https:// address" if context is None else None


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error, then what caused it, and so on."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
