"""How a Transformers model samples: its network, caches of keys and values, attention over them, and images."""
