"""A whole pull against dlt's rest_api source: the same service over HTTP, into rows."""
