"""The command line: thin verbs over the assets and the ledgers. Heavy libraries load in the verb that needs them."""

from ingestion_assets.cli.app import main

__all__ = ["main"]
