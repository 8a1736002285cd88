"""From a seed to random numbers: a stream for every seed of 64 bits, and one for every member of an ensemble.

torch seeds its generator, the Mersenne twister, with 32 bits, so that seeds 2^32 apart draw the same. A seed below 2^32
is seeded by torch; beyond, the twister's whole state is filled from SHAKE-256, of which no two begin alike.
"""

from __future__ import annotations

import hashlib
import os

import torch

from .errors import UsageError

SEEDS = 1 << 64
GENERATOR = 5056  # bytes of a generator's state
SCHEME = 2  # of members; in runs of scheme 1, or of none that run.json names, member m is seeded seed + m

_WORDS = slice(24, 24 + 8 * 624)  # of CPUGeneratorImpl's state: after seed, left, seeded and next; 8 bytes a word


def generator(seed: int) -> torch.Generator:
    """The generator of a seed from 0 to 2^64 - 1."""
    rng = torch.Generator().manual_seed(seed % (1 << 32))
    if seed >> 32:
        state = rng.get_state()
        drawn = hashlib.shake_256(b"counterplay seed" + seed.to_bytes(8, "little")).digest(4 * 624)
        words = torch.frombuffer(bytearray(drawn), dtype=torch.int32)
        state[_WORDS] = (words.to(torch.int64) & 0xFFFFFFFF).view(torch.uint8)
        rng.set_state(state)
    return rng


def member_seed(seed: int, member: int) -> int:
    """The seed with which a run alone is what ``member`` is in an ensemble of ``seed``.

    Member 0 has the seed itself. The others have 63 bits of a SHA-256 sum of both numbers, so that no two ensembles
    share a member: the first 8 bytes, little-endian, of that of b"counterplay member", seed and member, 8 bytes each.
    """
    if member == 0:
        return seed
    both = seed.to_bytes(8, "little") + member.to_bytes(8, "little")
    return int.from_bytes(hashlib.sha256(b"counterplay member" + both).digest()[:8], "little") >> 1


def generators(seed: int, members: int | None, scheme: int = SCHEME) -> list[torch.Generator]:
    """One generator for each member, or a single one. Raises UsageError where memory does not hold so many."""
    needed, there = (members or 1) * GENERATOR, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed > there:
        raise UsageError(
            f"members: {members:,} are too many: each has random numbers of its own, a state of {GENERATOR:,} bytes, "
            f"and this machine's memory holds {there:,} bytes. Ask for fewer."
        )
    if scheme < SCHEME:
        return [torch.Generator().manual_seed(seed + m) for m in range(members or 1)]
    return [generator(member_seed(seed, m)) for m in range(members or 1)]
