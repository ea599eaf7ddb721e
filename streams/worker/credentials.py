"""The security settings as Faust takes them."""

from __future__ import annotations

from faust.auth import Credentials, GSSAPICredentials, OAuthCredentials, SASLCredentials, SSLCredentials

from evometrics.schemas.kafka.client_options import security
from evometrics.schemas.service.settings import KafkaSettings


def broker_credentials(kafka: KafkaSettings) -> Credentials | None:
    """Return what Faust's clients secure their connections with; None for `PLAINTEXT`."""
    options = security(kafka)
    context = options.get("ssl_context")
    match options.get("sasl_mechanism"):
        case None:
            return None if context is None else SSLCredentials(context)
        case "OAUTHBEARER":
            return OAuthCredentials(oauth_cb=options["sasl_oauth_token_provider"], ssl_context=context)
        case "GSSAPI":
            return GSSAPICredentials(
                kerberos_service_name=options["sasl_kerberos_service_name"],
                kerberos_domain_name=options["sasl_kerberos_domain_name"],
                ssl_context=context,
                mechanism="GSSAPI",
            )
        case mechanism:
            return SASLCredentials(
                username=options["sasl_plain_username"],
                password=options["sasl_plain_password"],
                ssl_context=context,
                mechanism=mechanism,
            )
