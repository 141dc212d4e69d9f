"""How the platform reaches the outside world: databases, HTTP services, LLM providers.

Nothing in here knows of events, documents or Dagster assets; those import this package, never the other way round.
"""
