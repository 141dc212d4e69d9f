"""Pacing: one token bucket for each provider, account, model and dimension, shared by all processes."""
