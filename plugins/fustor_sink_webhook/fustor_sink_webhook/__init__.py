"""The sink of a pipe that ends at somebody's URL: batches as JSON, signed."""

from __future__ import annotations

from fustor_sink_webhook.sink import WebhookSink

__all__ = ["WebhookSink"]
