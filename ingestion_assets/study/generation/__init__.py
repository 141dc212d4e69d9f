"""Asking a provider about chunks: prompts, answers, faults, time."""
