"""Measurements against peers, run by `python -m benchmarks`. Not part of the installed packages."""
