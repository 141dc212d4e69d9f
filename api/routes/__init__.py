"""The endpoints, one module a subject. They read the request, call the ledger and say what came of it."""
