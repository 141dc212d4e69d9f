"""Events: raw records per source, deduplicated events, tag enrichments. Imports nothing of `study`."""
