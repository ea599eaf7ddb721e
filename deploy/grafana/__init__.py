"""Grafana: three dashboards as code, what is built of it, and how Grafana is told of them.

`evometrics dashboards` writes what is built: the `.json` files here, which the code beside them makes with
grafana-foundation-sdk (`python -m evometrics.deploy.grafana`; the SDK is in the extra `dev`), and files of
Grafana's provisioning (`provisioning`, which needs no SDK). A test holds what is built and the code equal,
and asks what every panel asks.
"""

__all__ = ["provisioning"]
