"""Defines `TimedReader`, which gives whoever is at the other end of a connection only so long to say something."""

from __future__ import annotations

import io
import socket
import time
from typing import Any


class TimedReader(io.RawIOBase):
    """Reads a connection until a time, however many or few bytes come at once.

    `until`, in seconds of `time.monotonic`, is for the user to set before each stretch.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self.until = 0.0

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Reads what has come; returns how many bytes.

        Raises:
            TimeoutError: the time is over.
        """
        left = self.until - time.monotonic()
        if left <= 0:
            raise TimeoutError("the request took too long to come in")
        self._connection.settimeout(left)
        return self._connection.recv_into(buffer)
