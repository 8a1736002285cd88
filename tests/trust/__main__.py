"""``python -m tests.trust 0:300`` judges cases; ``python -m tests.trust 17 --shrink`` takes one apart."""

from __future__ import annotations

import argparse
import time
import warnings
from collections import Counter
from collections.abc import Iterator

from . import games, layers, losses
from .grammar import Case, age_alone, case, layer_alone, smaller, twist_alone
from .judge import FAILURES, Verdict, judge


def shrink(c: Case, verdict: Verdict, thorough: bool) -> tuple[Case, Verdict]:
    """The case without all that its verdict does not need."""
    for less in smaller(c):
        found = judge(less, thorough)
        if found.kind == verdict.kind and (found.kind != "wrong" or found.where == verdict.where):
            return shrink(less, found, thorough)
    return c, verdict


def asked(which: str, light: bool) -> Iterator[tuple[str, Case]]:
    """The cases of ``which``, with a label each."""
    if which == "alone":
        for form in ("modules", "losses"):
            for name in layers.LAYERS:
                if form == "modules" or name not in games.LISTED:
                    yield from ((f"{form}, layer {name}", c) for c in layer_alone(name, form))
        for twist in (*losses.MUST, *losses.MAY, *losses.RANDOM):
            yield from ((f"twist {twist}", c) for c in twist_alone(twist))
        for data in (*losses.DATA_MUST, *losses.DATA_MAY, *losses.DATA_RANDOM):
            yield from ((f"data {data}", c) for c in twist_alone("none", data))
        for age in games.AGES:
            yield from ((f"age {age}", c) for c in age_alone(age))
        return
    first, _, last = which.partition(":")
    yield from ((str(n), case(n, light)) for n in range(int(first), int(last or int(first) + 1)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", help="n, from:to, or alone: each layer and each twist by itself")
    parser.add_argument("--shrink", action="store_true", help="take failing cases apart")
    parser.add_argument("--light", action="store_true", help="the light cases, without F' and compilation")
    parser.add_argument("--all", action="store_true", help="show every case, not only the failing ones")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    counts: Counter[str] = Counter()
    for label, c in asked(args.cases, args.light):
        began = time.perf_counter()
        verdict = judge(c, not args.light)
        counts[verdict.kind] += 1
        if args.shrink and verdict.kind in FAILURES:
            c, verdict = shrink(c, verdict, not args.light)
        if args.all or verdict.kind in FAILURES or args.cases.isdigit():
            taken = time.perf_counter() - began
            features = "; ".join(f"{kind} {name}" for kind, name in c.features)
            print(f"{label} {verdict.kind} at {verdict.where}: {verdict.detail} [{features}] {taken:.2f} s", flush=True)
    print(dict(counts))


if __name__ == "__main__":
    main()
