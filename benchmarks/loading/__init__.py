"""The load path against dlt: the same records into the same server."""
