"""Recorded cases: what a model computed once, and whether this installation still computes it."""
