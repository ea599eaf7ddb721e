"""Certificates of an authority of its own, made by the `openssl` command in a test's folder."""

from __future__ import annotations

import subprocess
from pathlib import Path

DAYS = "30"


def openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True, timeout=60)


def authority(folder: Path, name: str) -> Path:
    """Make a certificate authority; return its certificate, beside which its key lies."""
    folder.mkdir(parents=True, exist_ok=True)
    made = folder / f"{name}.pem"
    key = (
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-keyout",
        folder / f"{name}.key",
    )
    usage = ("-addext", "keyUsage=critical,keyCertSign")
    openssl("req", "-x509", *key, "-out", made, "-days", DAYS, "-subj", f"/CN={name}", *usage)
    return made


def certificate(ca: Path, name: str, hosts: str = "", password: str = "") -> tuple[Path, Path]:
    """Make a certificate signed by an authority; return it and its key, which a password may encrypt.

    `hosts`: what it is valid for, such as `IP:127.0.0.1,DNS:localhost`.
    """
    made, key, request = (ca.with_name(f"{name}.{end}") for end in ("pem", "key", "csr"))
    sealed = ("-passout", f"pass:{password}") if password else ("-nodes",)
    new = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", *sealed, "-keyout", key)
    openssl("req", *new, "-out", request, "-subj", f"/CN={name}")
    extensions = ca.with_name(f"{name}.ext")
    extensions.write_text("basicConstraints=CA:FALSE\n" + (f"subjectAltName={hosts}\n" if hosts else ""))
    signed = ("-CA", ca, "-CAkey", ca.with_suffix(".key"), "-CAcreateserial", "-extfile", extensions)
    openssl("x509", "-req", "-in", request, *signed, "-out", made, "-days", DAYS)
    return made, key
