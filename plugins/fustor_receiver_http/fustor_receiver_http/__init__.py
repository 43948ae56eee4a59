"""Fustor receiver `http`: queries and status over HTTP"""

from __future__ import annotations

from fustor_receiver_http.receiver import HttpReceiver

__all__ = ["HttpReceiver"]
