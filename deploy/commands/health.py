"""`evometrics health`: asks a part on this machine whether it is live, or ready."""

from __future__ import annotations

import argparse
import http.client
import ssl

from evometrics.deploy.console.flags import add_common, add_http
from evometrics.deploy.console.options import http_settings
from evometrics.deploy.exit_codes import ExitCode
from evometrics.deploy.terminal import tell
from evometrics.schemas.service.http import HttpAddress
from evometrics.schemas.service.settings import SettingsError

#: How long a part may take to answer; it answers `/health/ready` itself after 4 s at the latest.
ANSWER_SECONDS = 5.0
#: What stands for all of this machine's addresses, and the one of them that is asked.
EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}


def add(sub: argparse.ArgumentParser) -> None:
    """Add the flags."""
    add_common(sub)
    text = "whether it is ready, too: it and everything it needs answer (default: whether it makes progress)"
    sub.add_argument("--ready", action="store_true", help=text)
    add_http(sub)


async def run(args: argparse.Namespace) -> int:
    """Print the answer; its exit code says whether all is well."""
    address = http_settings(args).address
    if address is None:
        raise SettingsError("name the part's port: --http-port or EVOMETRICS_HTTP_PORT")
    well, text = asked(address, "/health/ready" if args.ready else "/health/live")
    if well:
        print(text)
        return ExitCode.DONE
    tell(f"evometrics health: {text}")
    return ExitCode.FAILED


def asked(address: HttpAddress, path: str) -> tuple[bool, str]:
    """Return whether a part says that all is well, and its answer, or why there is none."""
    host = EVERYWHERE.get(address.host, address.host)
    headers = {"Authorization": f"Bearer {address.token}"} if address.token else {}
    connection = (
        http.client.HTTPSConnection(
            host, address.port, timeout=ANSWER_SECONDS, context=trusting(address.certificate)
        )
        if address.certificate
        else http.client.HTTPConnection(host, address.port, timeout=ANSWER_SECONDS)
    )
    try:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        text = answer.read().decode(errors="replace").strip()
    except (OSError, http.client.HTTPException) as error:
        return False, f"{host}:{address.port} does not answer ({error})"
    finally:
        connection.close()
    return answer.status == http.HTTPStatus.OK, text


def trusting(certificate: str) -> ssl.SSLContext:
    """Return a TLS context that trusts the part's own certificate, under whatever name it is asked."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    try:
        context.load_verify_locations(certificate)
    except OSError as error:
        raise SettingsError(f"[http] certificate={certificate!r}: {error.strerror or error}") from None
    return context
