"""Benchmarks and training of deduplication: generated labelled records, the fit of the weights, peers on the same data."""
