"""The seed of an execution's random numbers on Temporal: SipHash-1-3 of its run id, as Rust's hasher has it."""

from __future__ import annotations

__all__ = ["temporal_seed"]

_MASK = 0xFFFF_FFFF_FFFF_FFFF


def _rotated(value: int, bits: int) -> int:
    return ((value << bits) | (value >> (64 - bits))) & _MASK


def _round(state: list[int]) -> None:
    v0, v1, v2, v3 = state
    v0 = (v0 + v1) & _MASK
    v1 = _rotated(v1, 13) ^ v0
    v0 = _rotated(v0, 32)
    v2 = (v2 + v3) & _MASK
    v3 = _rotated(v3, 16) ^ v2
    v0 = (v0 + v3) & _MASK
    v3 = _rotated(v3, 21) ^ v0
    v2 = (v2 + v1) & _MASK
    v1 = _rotated(v1, 17) ^ v2
    v2 = _rotated(v2, 32)
    state[:] = v0, v1, v2, v3


def temporal_seed(run_id: str) -> int:
    """Return the seed that Temporal's Core gives a run.

    Parameters
    ----------
    run_id
        The run id when the execution started.

    Returns
    -------
    int
        64 bits.
    """
    data = run_id.encode() + b"\xff"
    state = [0x736F6D6570736575, 0x646F72616E646F6D, 0x6C7967656E657261, 0x7465646279746573]
    whole = len(data) - len(data) % 8
    words = [int.from_bytes(data[i : i + 8], "little") for i in range(0, whole, 8)]
    words.append(int.from_bytes(data[whole:], "little") | (len(data) & 0xFF) << 56)
    for word in words:
        state[3] ^= word
        _round(state)
        state[0] ^= word
    state[2] ^= 0xFF
    for _ in range(3):
        _round(state)
    return state[0] ^ state[1] ^ state[2] ^ state[3]
