"""What watches and repairs: stuck imports and jobs, runs that nobody serves, leaked slots, backfills, old history.

Each sensor is a thin shell: it reads, a pure function decides, it repairs and says so. What a person can do by hand as
well lives in `ingestion_assets/ledger`. A tick touches databases only, is bounded and ends within seconds; every repair can
be made twice without harm, is logged, counted in `incidents` and shown in the tick.
"""
