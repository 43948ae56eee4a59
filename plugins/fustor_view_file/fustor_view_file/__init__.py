"""Fustor view `file`: directory packs, rollups, queries and a change feed"""
