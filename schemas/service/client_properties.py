"""Reads a `client.properties` as Kafka's own tools read it.

The format is that of `java.util.Properties`; the keys are those of Kafka's Java clients that secure a
connection. One that secures it and can't be honoured here is refused, with what to do instead; those that
only tune a client, such as `linger.ms`, are left to the parts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from evometrics.schemas.service.checks import SettingsError

#: Properties that are settings under another name.
PLAIN_NAMES = {
    "bootstrap.servers": "brokers",
    "client.id": "client_id",
    "security.protocol": "security_protocol",
    "sasl.mechanism": "sasl_mechanism",
    "sasl.kerberos.service.name": "sasl_kerberos_service_name",
    "ssl.key.password": "ssl_password",
}
#: Properties that are read below.
READ = frozenset(
    f"{store}.{what}"
    for store in ("ssl.truststore", "ssl.keystore")
    for what in ("location", "type", "password")
) | {"sasl.jaas.config", "ssl.endpoint.identification.algorithm"}
#: Properties that change nothing where they have one of these values.
WITHOUT_EFFECT = {
    "ssl.protocol": {"TLS", "TLSv1.2", "TLSv1.3"},
    "ssl.enabled.protocols": {"TLSv1.2,TLSv1.3", "TLSv1.3,TLSv1.2"},
}
SECURES = ("ssl.", "sasl.", "security.", "config.providers")
LOGIN_MODULES = {
    "PlainLoginModule": ("PLAIN",),
    "ScramLoginModule": ("SCRAM-SHA-256", "SCRAM-SHA-512"),
    "OAuthBearerLoginModule": ("OAUTHBEARER",),
    "Krb5LoginModule": ("GSSAPI",),
}
CONVERT = {
    ("ssl.truststore", "PKCS12"): "`openssl pkcs12 -in STORE -cacerts -nokeys -out ca.pem`",
    ("ssl.truststore", "JKS"): "`keytool -exportcert -rfc -alias NAME -keystore STORE -file ca.pem`",
    ("ssl.keystore", "PKCS12"): "`openssl pkcs12 -in STORE -out client.pem`",
    ("ssl.keystore", "JKS"): "`keytool -importkeystore -srckeystore STORE -destkeystore client.p12 "
    "-deststoretype PKCS12`, then `openssl pkcs12 -in client.p12 -out client.pem`",
}
SPACE = " \t\f"
ENTRY = re.compile(rf"((?:\\.|[^\\=:{SPACE}])*)[{SPACE}]*[=:]?[{SPACE}]*(.*)", re.DOTALL)
ESCAPED = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)
JAAS_WORD = re.compile(r'\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;="]+)|([=;]))')


def client_properties(path: str, protocol: str) -> dict[str, str | bool]:
    """Return the settings in a file, by their names in `KafkaSettings`.

    `protocol`: the security protocol where the file names none. What a protocol makes no use of is not looked
    at. Raises `SettingsError` naming the property that can't be used.
    """
    try:
        found = properties(Path(path).expanduser().read_text(encoding="latin-1"))
    except OSError as error:
        raise SettingsError(f"client_properties={path}: {error.strerror}") from None
    protocol = found.get("security.protocol", protocol).upper()
    used = {
        key: value
        for key, value in found.items()
        if not (key.startswith("ssl.") and not protocol.endswith("SSL"))
        and not (key.startswith("sasl.") and not protocol.startswith("SASL"))
    }
    try:
        return settings_of(used)
    except ValueError as error:
        raise SettingsError(f"client_properties={path}: {error}") from None


def properties(text: str) -> dict[str, str]:
    """Return the entries of a file in the format of `java.util.Properties`."""
    found = {}
    lines = iter(re.split(r"\r\n|\n|\r", text))
    for natural in lines:
        line = natural.lstrip(SPACE)
        if not line or line[0] in "#!":
            continue
        while (len(line) - len(line.rstrip("\\"))) % 2:
            line = line[:-1] + next(lines, "").lstrip(SPACE)
        entry = ENTRY.fullmatch(line)
        assert entry is not None
        found[unescaped(entry[1])] = unescaped(entry[2])
    return found


def unescaped(text: str) -> str:
    named = {"t": "\t", "n": "\n", "r": "\r", "f": "\f"}
    return ESCAPED.sub(
        lambda at: chr(int(at[1][1:], 16)) if len(at[1]) > 1 else named.get(at[1], at[1]), text
    )


def settings_of(found: Mapping[str, str]) -> dict[str, str | bool]:
    """Return properties as settings. Raises `ValueError` naming one that can't be used, without a secret."""
    for key, value in found.items():
        known = key in PLAIN_NAMES or key in READ or value.replace(" ", "") in WITHOUT_EFFECT.get(key, ())
        if key.startswith(SECURES) and not known:
            raise ValueError(f"{key} {way_out(key)}")
    settings: dict[str, str | bool] = {
        PLAIN_NAMES[key]: value.strip() if key != "ssl.key.password" else value
        for key, value in found.items()
        if key in PLAIN_NAMES and value
    }
    if "security_protocol" in settings:
        settings["security_protocol"] = str(settings["security_protocol"]).upper()
    checked = "ssl.endpoint.identification.algorithm"
    if checked in found:
        if found[checked].lower() not in ("", "https"):
            raise ValueError(f"{checked}={found[checked]}: give https, or nothing to check no host name")
        settings["ssl_check_hostname"] = bool(found[checked])
    if trusted := store(found, "ssl.truststore"):
        settings["ssl_cafile"] = trusted
    if own := store(found, "ssl.keystore"):
        settings["ssl_certfile"] = own  # the file has certificate and key
    if "sasl.jaas.config" in found:
        settings |= login(found["sasl.jaas.config"], found.get("sasl.mechanism", ""))
    return settings


def way_out(key: str) -> str:
    """Return what to do instead of giving a property."""
    if key in ("ssl.truststore.certificates", "ssl.keystore.certificate.chain", "ssl.keystore.key"):
        kind = key.rsplit(".", 1)[0].removesuffix(".certificate")
        return f"can't be used: write it to a PEM file, and set {kind}.type=PEM and {kind}.location"
    if key.startswith("config.providers"):
        return "can't be used: write the values themselves, or give them as EVOMETRICS_KAFKA_..._FILE"
    if key.startswith(("sasl.oauthbearer", "sasl.login.callback")):
        return "can't be used: set EVOMETRICS_KAFKA_SASL_OAUTH_TOKEN_PROVIDER to module:name of a provider"
    return "can't be used with this value: leave it out"


def store(found: Mapping[str, str], name: str) -> str:
    """Return the PEM file of a key or trust store; empty if there is none. Raises `ValueError`."""
    location = found.get(f"{name}.location", "")
    kind = found.get(f"{name}.type", "JKS").upper()
    if location and kind != "PEM":
        convert = CONVERT.get((name, kind), "a tool of its own")
        raise ValueError(
            f"{name}.location={location} is of type {kind}, which only Java reads: convert it with "
            f"{convert}, then set {name}.type=PEM and {name}.location to that file"
        )
    if location and found.get(f"{name}.password"):
        instead = "; the key's own is ssl.key.password" if name == "ssl.keystore" else ""
        raise ValueError(f"{name}.password: a PEM file has none, leave it out{instead}")
    return location


def login(jaas: str, mechanism: str) -> dict[str, str]:
    """Return the settings in a `sasl.jaas.config`. Raises `ValueError`, never with what it says."""
    module, options = jaas_entry(jaas)
    mechanisms = LOGIN_MODULES.get(module.rsplit(".", 1)[-1])
    if mechanisms is None:
        raise ValueError(f"sasl.jaas.config: give one of {', '.join(LOGIN_MODULES)}, it has {module}")
    if mechanism and mechanism not in mechanisms:
        raise ValueError(f"sasl.jaas.config: {module} does not log in with sasl.mechanism={mechanism}")
    if "OAUTHBEARER" in mechanisms and options:
        raise ValueError(f"sasl.jaas.config: {min(options)} {way_out('sasl.oauthbearer')}")
    if "GSSAPI" in mechanisms:
        if "keyTab" in options:
            raise ValueError(
                "sasl.jaas.config: keyTab can't be used: set the variable KRB5_CLIENT_KTNAME to it"
            )
        return {"sasl_kerberos_service_name": options["serviceName"]} if "serviceName" in options else {}
    if "tokenauth" in options:
        raise ValueError("sasl.jaas.config: tokenauth can't be used: log in with user and password")
    given = {"sasl_plain_username": "username", "sasl_plain_password": "password"}
    return {setting: options[option] for setting, option in given.items() if option in options}


def jaas_entry(jaas: str) -> tuple[str, dict[str, str]]:
    """Return the login module and its options. Raises `ValueError`."""
    malformed = 'sasl.jaas.config: give MODULE required NAME="VALUE" ...; with the semicolon'
    words: list[tuple[str, bool]] = []
    at = 0
    while at < len(jaas.rstrip()):
        word = JAAS_WORD.match(jaas, at)
        if word is None:
            raise ValueError(malformed)
        sign = word[3] is not None
        words.append((word[3] if sign else unescaped(word[1]) if word[1] is not None else word[2], sign))
        at = word.end()
    if len(words) < 3 or words.pop() != (";", True) or (";", True) in words or words[0][1] or words[1][1]:
        raise ValueError(malformed)
    named = words[2:]
    triples = list(zip(named[::3], named[1::3], named[2::3], strict=False))
    if len(triples) * 3 != len(named) or any(a[1] or b != ("=", True) or c[1] for a, b, c in triples):
        raise ValueError(malformed)
    return words[0][0], {name: value for (name, _), _, (value, _) in triples}
