"""Fustor arbitrator `fs`: what a file is, and when one is suspect"""
