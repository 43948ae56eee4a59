"""Fustor sink `view`: hands batches to a view of the same process"""
