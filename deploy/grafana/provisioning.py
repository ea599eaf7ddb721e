"""What tells Grafana of the data sources and dashboards, as files of its provisioning.

Texts are JSON strings, which YAML has, too. Grafana replaces `$NAME` by a variable of its environment and
`$__file{path}` by a file's text: so no password stands in them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from urllib.parse import urlsplit

#: Uids of the data sources, which the dashboards choose at first, and their names.
CLICKHOUSE_UID, CLICKHOUSE_NAME = "evometrics-clickhouse", "evometrics ClickHouse"
PROMETHEUS_UID, PROMETHEUS_NAME = "evometrics-prometheus", "evometrics Prometheus"
CLICKHOUSE_PLUGIN, PROMETHEUS_PLUGIN = "grafana-clickhouse-datasource", "prometheus"
#: The variable of Grafana's environment that holds ClickHouse's password.
PASSWORD_VARIABLE = "EVOMETRICS_GRAFANA_PASSWORD"

DATA_SOURCES = """# Data sources of evometrics' dashboards, for Grafana's folder provisioning/datasources.
# ClickHouse's needs the plugin grafana-clickhouse-datasource; Grafana's environment has its password.
apiVersion: 1
datasources:
  - name: {clickhouse_name}
    uid: {clickhouse_uid}
    type: {clickhouse_plugin}
    jsonData:
      host: {host}
      port: {port}
      protocol: http
      secure: {secure}
      username: {user}
      defaultDatabase: {database}
{more}    secureJsonData:
      password: ${password_variable}
{certificates}  - name: {prometheus_name}
    uid: {prometheus_uid}
    type: {prometheus_plugin}
    access: proxy
    url: {prometheus_url}
    jsonData:
      httpMethod: POST
      timeInterval: {scrape_interval}
"""
DASHBOARDS = """# Where evometrics' dashboards are, for Grafana's folder provisioning/dashboards.
apiVersion: 1
providers:
  - name: evometrics
    folder: evometrics
    type: file
    allowUiUpdates: false
    options:
      path: {path}
"""
#: Where `deploy/grafana/dashboards.yml` takes the dashboards to be.
EXAMPLE_PATH = "/etc/grafana/evometrics/dashboards"


@dataclass(frozen=True)
class DataSources:
    """How Grafana reaches ClickHouse and Prometheus.

    Attributes:
        clickhouse_url: `http://host:port` or `https://host:port` of ClickHouse's HTTP interface.
        user: who asks; a reader is enough.
        database: where the views are.
        ca_cert: PEM file with the authorities to trust, on Grafana's machine; empty = the system's.
        client_cert: PEM file with a certificate to show; empty = none.
        client_cert_key: PEM file with its key.
        prometheus_url: where Prometheus is.
        scrape_interval: its `scrape_interval`, of which `$__rate_interval` takes four.
        connections: how many statements Grafana sends ClickHouse at a time, others wait in it; None = as many
            as its plugin takes.
    """

    clickhouse_url: str = "http://127.0.0.1:8123"
    user: str = "analyst"
    database: str = "evometrics"
    ca_cert: str = ""
    client_cert: str = ""
    client_cert_key: str = ""
    prometheus_url: str = "http://127.0.0.1:9090"
    scrape_interval: str = "15s"
    connections: int | None = None

    def text(self) -> str:
        """Return the file that tells Grafana."""
        parts = urlsplit(self.clickhouse_url)
        secure = parts.scheme == "https"
        more = [
            *([f'maxOpenConns: "{self.connections}"'] if self.connections else []),
            *(["tlsAuthWithCACert: true"] if self.ca_cert else []),
            *(["tlsAuth: true"] if self.client_cert else []),
        ]
        files = {
            "tlsCACert": self.ca_cert,
            "tlsClientCert": self.client_cert,
            "tlsClientKey": (self.client_cert_key or self.client_cert) if self.client_cert else "",
        }
        return DATA_SOURCES.format(
            clickhouse_name=CLICKHOUSE_NAME,
            clickhouse_uid=CLICKHOUSE_UID,
            clickhouse_plugin=CLICKHOUSE_PLUGIN,
            host=quoted(parts.hostname or ""),
            port=parts.port or (8443 if secure else 8123),
            secure=json.dumps(secure),
            user=quoted(self.user),
            database=quoted(self.database),
            more="".join(f"      {line}\n" for line in more),
            password_variable=PASSWORD_VARIABLE,
            certificates="".join(
                f"      {name}: {json.dumps(f'$__file{{{path}}}')}\n" for name, path in files.items() if path
            ),
            prometheus_name=PROMETHEUS_NAME,
            prometheus_uid=PROMETHEUS_UID,
            prometheus_plugin=PROMETHEUS_PLUGIN,
            prometheus_url=quoted(self.prometheus_url),
            scrape_interval=quoted(self.scrape_interval),
        )


def quoted(value: str) -> str:
    """Return a value that Grafana takes as it is, whatever is in it."""
    return json.dumps(value.replace("$", "$$"), ensure_ascii=False)


def provider(path: str) -> str:
    """Return the file that tells Grafana in which folder the dashboards are."""
    return DASHBOARDS.format(path=quoted(path))
