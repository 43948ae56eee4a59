"""Fustor receiver `http`: queries and status over HTTP"""
