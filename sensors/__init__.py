"""What watches and repairs: stuck imports and jobs, runs that nobody serves, leaked slots, backfills, old history.

Each sensor is a thin shell: it reads, a pure function decides, it repairs and says so. What a person can do by hand as
well lives in `ingestion_assets/ledger`. A tick ends within seconds. Most touch databases only; `study_inbox` reads folders,
so many bytes a tick, and `recover_tags` asks a provider about open batches, for so many seconds. Every repair can be made
twice without harm, is logged, counted in `incidents` and shown in the tick.
"""
