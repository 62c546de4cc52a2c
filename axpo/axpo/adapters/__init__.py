"""Adapters: our environments and algorithm in the trainers that people already run, one library a folder."""
