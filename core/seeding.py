"""Random generators from seeds: a stream for every seed of 64 bits, and one for every member of an ensemble.

torch uses only 32 bits of a seed for its generator, the Mersenne twister, so seeds that differ by 2^32 give the same
numbers. Here torch is given seeds below 2^32 only. For a larger seed the whole state of the twister is filled with the
SHAKE-256 hash of the seed.
"""

from __future__ import annotations

import hashlib
import os

import torch

from .errors import UsageError

SEEDS = 1 << 64
GENERATOR = 5056  # the size of a generator's state in bytes
SCHEME = 2  # how members are seeded now. In scheme 1, that of runs whose run.json names none, member m has seed + m

# Where the twister's 624 words, 8 bytes each, are in the state of torch's CPUGeneratorImpl. Before them are the fields
# seed, left, seeded and next.
_WORDS = slice(24, 24 + 8 * 624)


def generator(seed: int) -> torch.Generator:
    """The generator of a seed from 0 to 2^64 - 1."""
    rng = torch.Generator().manual_seed(seed % (1 << 32))
    if seed >> 32:
        state = rng.get_state()
        digest = hashlib.shake_256(b"counterplay seed" + seed.to_bytes(8, "little")).digest(4 * 624)
        words = torch.frombuffer(bytearray(digest), dtype=torch.int32)
        state[_WORDS] = (words.to(torch.int64) & 0xFFFFFFFF).view(torch.uint8)
        rng.set_state(state)
    return rng


def member_seed(seed: int, member: int) -> int:
    """The seed of ``member`` in an ensemble of ``seed``: a single run with this seed is the same run.

    Member 0 has ``seed`` itself. The seed of another member is a hash, so that ensembles of different seeds share no
    member: SHA-256 of b"counterplay member", seed and member (8 bytes each, little-endian), of which the first 8 bytes
    are read as a little-endian number and shifted right by one bit.
    """
    if member == 0:
        return seed
    numbers = seed.to_bytes(8, "little") + member.to_bytes(8, "little")
    return int.from_bytes(hashlib.sha256(b"counterplay member" + numbers).digest()[:8], "little") >> 1


def generators(seed: int, members: int | None, scheme: int = SCHEME) -> list[torch.Generator]:
    """One generator for each member, or a single one. Raises UsageError if they do not fit into memory."""
    needed, memory = (members or 1) * GENERATOR, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed > memory:
        raise UsageError(
            f"members: {members:,} are too many: each has random numbers of its own, a state of {GENERATOR:,} bytes, "
            f"and this machine's memory holds {memory:,} bytes. Ask for fewer."
        )
    if scheme < SCHEME:
        return [torch.Generator().manual_seed(seed + m) for m in range(members or 1)]
    return [generator(member_seed(seed, m)) for m in range(members or 1)]
