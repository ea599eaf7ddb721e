"""Change the pure rooms a little, and see whether the nearest tests fail.

    python -m tests.mutation                                    a sample of every pure module
    python -m tests.mutation streams/processors/deadlines.py    one module
    python -m tests.mutation --each 1000                        every change there is

Prints each change that the tests did not see, and the figures by room. Exit code 1 where one of those is
not in the table of equivalent changes (docs/explanation/mutations.md).
"""

from __future__ import annotations

import argparse
import random
from collections import Counter
from collections.abc import Iterator, Sequence

from tests.mutation.changes import Mutant, mutants
from tests.mutation.equivalent import equivalents, key
from tests.mutation.rooms import TESTS
from tests.mutation.run import ROOT, Nearest, prepare, results


def main() -> int:
    """Run the sample and print what survived."""
    args = arguments()
    prepare()
    known = equivalents()
    sampled: Counter[str] = Counter()
    killed: Counter[str] = Counter()
    equivalent: Counter[str] = Counter()
    for mutant, is_killed in results(runs(args.files or list(TESTS), args.each, args.seed), args.jobs):
        room = mutant.file.rpartition("/")[0]
        sampled[room] += 1
        if is_killed:
            killed[room] += 1
        else:
            equivalent[room] += key(mutant) in known
            said = "equivalent" if key(mutant) in known else "SURVIVED"
            print(f"{said} {mutant.file}:{mutant.line}\n  {mutant.before}\n  {mutant.after}", flush=True)
    print(f"{'room':24}{'mutants':>8}{'killed':>8}{'equivalent':>12}{'survived':>10}")
    for room in [*sorted(sampled), "all"]:
        many, dead, same = (
            count.total() if room == "all" else count[room] for count in (sampled, killed, equivalent)
        )
        print(f"{room:24}{many:8}{dead:8}{same:12}{many - dead - same:10}")
    return int(sampled.total() > killed.total() + equivalent.total())


def runs(files: Sequence[str], each: int, seed: int) -> Iterator[tuple[Mutant, Nearest]]:
    """Yield the sample of each module, with its tests."""
    for file in files:
        found = mutants(ROOT, file)
        chosen = random.Random(f"{seed} {file}").sample(range(len(found)), min(each, len(found)))
        nearest = Nearest(TESTS[file])
        nearest.measure()
        print(f"{file}: {len(chosen)} of {len(found)} changes, {nearest.cost:.1f} s each at most", flush=True)
        for index in sorted(chosen):
            yield found[index], nearest


def arguments() -> argparse.Namespace:
    """Return what the command line asks for."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.mutation",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("files", nargs="*", choices=[[], *TESTS], metavar="FILE", help="default: all modules")
    parser.add_argument("--each", type=int, default=12, help="changes of a module, at most (default 12)")
    parser.add_argument("--seed", type=int, default=15, help="of the sample (default 15)")
    parser.add_argument("--jobs", type=int, default=2, help="processes at once (default 2)")
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
