"""Tells how far pip is: reads what it prints and says so every twenty packages, and whenever it was quiet for long.

make pipes into it. A program of its own, since some awks read a pipe in blocks and say everything at the end.
"""

from __future__ import annotations

import os
import select
import sys
import time

EVERY = 20
"""Packages from one line to the next."""
QUIET_S = 15.0
"""Seconds without a line after which one is printed."""


def main() -> None:
    began = time.monotonic()
    doing, fetched, unfinished = "fetching packages", 0, ""
    while True:
        ready, *_ = select.select([sys.stdin], [], [], QUIET_S)
        if not ready:
            print(f"  {doing}, {time.monotonic() - began:.0f} s so far", flush=True)
            continue
        read = os.read(sys.stdin.fileno(), 1 << 16).decode(errors="replace")
        if not read:
            return
        *lines, unfinished = (unfinished + read).split("\n")
        for line in lines:
            if line.startswith(("Collecting", "Processing")):
                fetched += 1
                if fetched % EVERY == 0:
                    print(f"  {fetched} packages fetched", flush=True)
            elif line.startswith("Installing"):
                doing = f"installing {fetched} packages"
                print(f"  {doing}", flush=True)


if __name__ == "__main__":
    main()
