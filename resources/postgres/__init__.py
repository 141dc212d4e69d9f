"""PostgreSQL, the one engine for development, tests and production: server, connections, tables, migrations."""
