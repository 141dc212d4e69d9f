"""`python -m ingestion_assets.cli`: the `ingest` command of this interpreter, wherever its script lies."""

from ingestion_assets.cli import main

if __name__ == "__main__":
    main()
