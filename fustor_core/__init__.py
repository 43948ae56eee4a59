"""Fustor's engine."""
