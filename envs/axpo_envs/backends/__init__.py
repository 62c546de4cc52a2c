"""What tools stand on, one folder each: search engines, a Python sandbox, MCP servers."""
