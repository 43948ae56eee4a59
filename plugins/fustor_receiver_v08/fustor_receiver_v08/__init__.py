"""Receiver `v08`: what agents of Fustor 0.8.17 push, as claims."""

from __future__ import annotations

from fustor_receiver_v08.receiver import V08Receiver

__all__ = ["V08Receiver"]
