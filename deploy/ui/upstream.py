"""What the tables are filled from, where that is known: the Kafka, and how far its readers are."""

from __future__ import annotations

from dataclasses import dataclass

from aiohttp import web
from aiokafka.errors import KafkaError

from evometrics.deploy.pipeline.drain import ConsumerGroup
from evometrics.deploy.pipeline.lag import topic_lags
from evometrics.deploy.ui.pages import PAGES
from evometrics.deploy.ui.rendering import environment
from evometrics.schemas.errors import EvometricsError
from evometrics.schemas.service.settings import KafkaSettings


@dataclass(frozen=True, slots=True)
class Upstream:
    """Where the messages of the tables come from.

    Attributes:
        kafka: how to reach the brokers.
        groups: the consumer groups of stream and sink.
    """

    kafka: KafkaSettings
    groups: tuple[ConsumerGroup, ...] = ()

    async def lag(self, request: web.Request) -> web.Response:
        """Answer with how far each group is behind."""
        try:
            lags = await topic_lags(self.kafka, self.groups)
        except KafkaError as error:
            raise LagUnknown(f"Kafka at {self.kafka.brokers} does not tell: {error!r}") from error
        html = environment().get_template("lag.html").render(lags=lags, groups=self.groups, pages=PAGES)
        return web.Response(text=html, content_type="text/html")


class LagUnknown(EvometricsError, RuntimeError):
    """A broker refused to tell what groups have committed."""
