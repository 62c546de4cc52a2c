"""A browser whose pages are a cache of what was done in it: a site as data, actions that are replayed, Chromium."""
