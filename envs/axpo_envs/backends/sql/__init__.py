"""SQL: SQLite databases as immutable bytes, run in processes that can be killed, and PostgreSQL servers."""
