"""PostgreSQL: the embedded server, connections, tables and migrations. One engine for development, tests, production."""
