"""Fustor source `fs`: scans and watches a directory tree on Linux"""
