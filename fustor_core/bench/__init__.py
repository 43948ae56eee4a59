"""Measurements that every installation can make of itself: `fustor bench …`.

Each starts the real program in a folder of its own and asks it from other processes, so that those
who ask take no time from those who answer. The tables of docs/benchmarks.md use the same parts.
"""
