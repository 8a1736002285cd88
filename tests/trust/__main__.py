"""``python -m tests.trust 0:300`` judges cases; ``python -m tests.trust 17 --shrink`` takes one apart."""

from __future__ import annotations

import argparse
import time
import warnings
from collections import Counter

from .grammar import Case, case, smaller
from .judge import FAILURES, Verdict, judge


def shrink(c: Case, verdict: Verdict, thorough: bool) -> tuple[Case, Verdict]:
    """The case without all that its verdict does not need."""
    for less in smaller(c):
        found = judge(less, thorough)
        if found.kind == verdict.kind and (found.kind != "wrong" or found.where == verdict.where):
            return shrink(less, found, thorough)
    return c, verdict


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", help="n or from:to")
    parser.add_argument("--shrink", action="store_true", help="take failing cases apart")
    parser.add_argument("--fast", action="store_true", help="the light cases, without F' and compilation")
    parser.add_argument("--all", action="store_true", help="show every case, not only the failing ones")
    args = parser.parse_args()
    first, _, last = args.cases.partition(":")
    warnings.simplefilter("ignore")
    counts: Counter[str] = Counter()
    for n in range(int(first), int(last or int(first) + 1)):
        began = time.perf_counter()
        c = case(n, args.fast)
        verdict = judge(c, not args.fast)
        counts[verdict.kind] += 1
        if args.shrink and verdict.kind in FAILURES:
            c, verdict = shrink(c, verdict, not args.fast)
        if args.all or verdict.kind in FAILURES or not last:
            taken = time.perf_counter() - began
            features = "; ".join(f"{kind} {name}" for kind, name in c.features)
            print(f"{n} {verdict.kind} at {verdict.where}: {verdict.detail} [{features}] {taken:.2f} s", flush=True)
    print(dict(counts))


if __name__ == "__main__":
    main()
