"""Break the core of the program in one place at a time, and count the breaks that a test notices.

`python -m tests.mutation --sample 300 --seed 1` tries 300 of all mutants; `--module engine/health`
tries one module. It prints the mutants that survived, each a test that is missing, and fails if
fewer than 95 % of the mutants were killed. Mutants that change nothing that a test could see are
listed in `equivalent.toml`, with the reason, and are left out.

First all tests run once, while coverage notes which test reaches which line. Then each mutant meets
the tests that reach its line, in a copy of the project: those of its module first, then those of
its package, then the others, until one fails or takes too long. At the end come the tests that
start commands. Tests that are marked slow take no part.

The driver is our own because the usual tools do not fit (mutmut 3.8 and cosmic-ray 8.7 were tried).
mutmut keeps all mutants of a function in one module, so it leaves out decorated functions
(properties, class methods) and everything outside functions. Half of what survives there are log
messages. The commands that tests start do not see its mutants at all. cosmic-ray breaks the working
tree itself, has one test command for all modules, no sample, and makes six mutants of every
comparison. Neither has a list of equivalent mutants that survives an edit of the file.
"""

import argparse
import os
import random
import sys
import time
import tomllib
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from tests.mutation.mutants import Mutant, mutants
from tests.mutation.trials import ROOT, Outcome, tried

EQUIVALENT = Path(__file__).with_name("equivalent.toml")

#: Smallest share of mutants that the tests must kill.
LEAST = 0.95

#: The modules whose lines keep the promises, by package.
CORE = {
    "engine": (
        *("backlog", "call", "health", "lane", "limiter", "permits", "quotas", "retry"),
        *("roundtrips", "scratch", "settings", "share", "stream", "window", "worker"),
    ),
    "journal": (
        *("comparison", "digests", "directory", "failed", "files", "ledger", "rebuild"),
        *("recorder", "results", "runfiles"),
    ),
    "lemlist": ("answer", "deadlines", "http", "redact", "tasks", "verify"),
    "plan": ("preview",),
    "reader": (
        *("artefacts", "cells", "columns", "dateadvice", "dates", "encoding", "raw", "records"),
        *("rows", "text"),
    ),
    "session": ("deadline", "feeder", "merger", "remaining", "resume", "writer"),
    "": ("fields", "models", "stop"),
}


def modules() -> list[str]:
    """The names of the core modules, as in `engine/health`."""
    return [f"{package}/{name}".lstrip("/") for package, names in CORE.items() for name in names]


def all_mutants(names: list[str]) -> list[Mutant]:
    """All mutants of some modules."""
    sources = {name: (ROOT / "bulkupdate" / f"{name}.py").read_text() for name in names}
    return [mutant for name, source in sources.items() for mutant in mutants(name, source)]


#: The module, function, line and change of a mutant, by which a list names it.
Name = tuple[str, str, str, str]


def equivalents(listed: str) -> set[Name]:
    """The names of the mutants in a list of equivalent ones, which is TOML."""
    named = tomllib.loads(listed).get("mutant", [])
    return {(one["module"], one["function"], one["line"], one["change"]) for one in named}


def is_equivalent(mutant: Mutant, listed: set[Name]) -> bool:
    """Whether a mutant is one of the listed ones."""
    place = mutant.module, mutant.function, mutant.line
    return any((*place, change) in listed for change in (mutant.change, "*"))


def main() -> int:
    """Try a sample of the mutants. Return 1 if too many of them survive."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("--sample", type=int, help="number of mutants to try; all without it")
    parser.add_argument("--seed", type=int, default=1, help="chooses the sample")
    parser.add_argument("--module", action="append", help="only this module; may be repeated")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    given = parser.parse_args()
    found, listed = all_mutants(given.module or modules()), equivalents(EQUIVALENT.read_text())
    sample = found
    if given.sample is not None and given.sample < len(found):
        sample = random.Random(given.seed).sample(found, given.sample)
    chosen = [mutant for mutant in sample if not is_equivalent(mutant, listed)]
    print(f"{len(chosen)} of {len(found):,} mutants, and {len(sample) - len(chosen)} equivalent")
    return report(tried(chosen, given.jobs))


def report(trials: Iterable[tuple[Mutant, Outcome]]) -> int:
    """Print the mutants that survive, and the share that does not.

    Returns:
        1 if too many survive, else 0.
    """
    begin, counts = time.monotonic(), Counter[Outcome]()
    for number, (mutant, outcome) in enumerate(trials, 1):
        counts[outcome] += 1
        if outcome is Outcome.SURVIVED:
            print(mutant, flush=True)
        if not number % 25:
            print(f"… {number} after {time.monotonic() - begin:.0f} s", flush=True)
    tried_in_all = counts.total() or 1
    share = 1 - counts[Outcome.SURVIVED] / tried_in_all
    named = ", ".join(f"{counts[outcome]} {outcome}" for outcome in Outcome)
    print(f"{named}: {share:.1%} of them noticed (at least {LEAST:.0%})")
    return int(share < LEAST)


if __name__ == "__main__":
    sys.exit(main())
