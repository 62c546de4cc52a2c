"""Checks of the adapters against the real libraries, which are installed into environments of their own."""
