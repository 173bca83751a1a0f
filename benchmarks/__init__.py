"""Measurements of speed, memory and company; ``python -m benchmarks --help``."""
