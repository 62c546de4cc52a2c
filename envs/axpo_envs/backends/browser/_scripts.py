"""Defines what is executed in every page before its own scripts: random numbers of a seed, one window."""

from __future__ import annotations

from typing import Final

_SCRIPT: Final = """
(() => {
  let state = %d;
  const next = () => {
    state = (state + 0x6D2B79F5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return (t ^ (t >>> 14)) >>> 0;
  };
  Math.random = () => next() / 4294967296;
  const fill = (array) => {
    const bytes = new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
    for (let at = 0; at < bytes.length; at++) bytes[at] = next() & 255;
    return array;
  };
  Crypto.prototype.getRandomValues = fill;
  Crypto.prototype.randomUUID = () => {
    const hex = [...fill(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
    return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-a${hex.slice(17, 20)}-${hex.slice(20)}`;
  };
  window.open = (address) => { if (address) location.href = address; return null; };
  addEventListener("click", (event) => {
    const link = event.target.closest && event.target.closest("a[target], area[target], form[target]");
    if (link) link.target = "_self";
  }, true);
  addEventListener("submit", (event) => { event.target.target = "_self"; }, true);
})();
"""


def first_script(seed: int) -> str:
    """The script for a session of a seed."""
    return _SCRIPT % (seed % (1 << 32))
