"""`python -m tests.chaos`: crash the real command, and count lost and repeated rows."""

import argparse
import asyncio
import sys
import time

from tests.chaos.accounts import AccountsRig, chaos_of_accounts
from tests.chaos.compared import compared
from tests.chaos.nights import nights
from tests.chaos.proxy import verdicts
from tests.chaos.rig import Rig, chaos, seconds_of_the_others


def main() -> int:
    """Run the chaos test, and print the findings. Return 1 if a promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--crashes", type=int, default=300, help="number of kills [default: 300]")
    parser.add_argument(
        "--seed", type=int, default=1, help="seed of all random choices [default: 1]"
    )
    parser.add_argument("--rows", type=int, default=1500, help="rows of a file [default: 1500]")
    parser.add_argument(
        "--busy", type=float, default=0.0, metavar="PART",
        help="part of the rows that belong to one task [default: 0]",
    )  # fmt: skip
    parser.add_argument(
        "--half", action="store_true",
        help="crash nothing: time rows of different tasks, alone and with as many of one task",
    )  # fmt: skip
    parser.add_argument(
        "--answers", action="store_true",
        help="crash nothing: 10,000 rows through a proxy that duplicates, delays and cuts answers",
    )  # fmt: skip
    parser.add_argument(
        "--compare", action="store_true",
        help="crash runs with --compare while another hand edits, and undo them",
    )  # fmt: skip
    parser.add_argument(
        "--nights", action="store_true",
        help="crash nights of rules at any moment while others edit, and resume them",
    )  # fmt: skip
    parser.add_argument(
        "--accounts", type=int, default=0, metavar="N",
        help="crash runs with so many accounts, while single ones are down, refused or throttled",
    )  # fmt: skip
    settings = parser.parse_args()
    if settings.nights:
        return _nights(settings.crashes, settings.seed)
    if settings.compare:
        return _compare(settings.crashes, settings.seed)
    if settings.answers:
        return _answers(settings.seed)
    if settings.half:
        alone, both = (asyncio.run(seconds_of_the_others(busy=busy)) for busy in (False, True))
        print(
            f"alone {alone:.1f} s, with a busy task {both:.1f} s: {both / alone:.2f} times as long"
        )
        return int(both > 1.2 * alone)
    begun = time.monotonic()
    crashes, seed, rows = settings.crashes, settings.seed, settings.rows
    if settings.accounts:
        crashed = chaos_of_accounts(crashes, seed, rows, settings.accounts)
        in_flight = AccountsRig.workers * settings.accounts
    else:
        crashed, in_flight = chaos(crashes, seed, rows, settings.busy), Rig.workers
    findings, events = asyncio.run(crashed)
    most = events["kill -9"] * in_flight
    print(f"seed {seed}, {events['files']} files of {rows} rows,", end=" ")
    print(f"{time.monotonic() - begun:.0f} s:", ", ".join(f"{n} of {e}" for e, n in events.items()))
    print(f"lost: {findings.lost}")
    print(f"settled twice: {findings.twice}")
    print(f"settled and sent again: {findings.sent_again}")
    print(f"out of order: {findings.out_of_order}")
    print(f"of another task or account: {findings.foreign}")
    print(f"requests repeated: {findings.repeated} (at most {most})")
    return int(not findings.is_right or findings.repeated > most)


def _compare(crashes: int, seed: int) -> int:
    faults, events = asyncio.run(compared(crashes, seed))
    print(", ".join(f"{n} of {event}" for event, n in events.items()))
    print("\n".join(faults[:20]))
    print(f"images or fields that are not as they must be: {len(faults)}")
    return int(bool(faults))


def _nights(crashes: int, seed: int) -> int:
    faults, events = asyncio.run(nights(crashes, seed))
    print(", ".join(f"{n} of {event}" for event, n in events.items()))
    print("\n".join(faults[:20]))
    print(f"rows, tasks or evaluations that are not as they must be: {len(faults)}")
    return int(bool(faults))


def _answers(seed: int) -> int:
    wrong = 0
    for tasks in (10_000, 40, 1):
        found = asyncio.run(verdicts(10_000, seed, tasks=tasks))
        print(f"{tasks} tasks:", ", ".join(f"{n} {one}" for one, n in found.outcomes.items()))
        print("  answers:", ", ".join(f"{n} {way}" for way, n in found.spoilt.items()))
        print(f"  updated, but not applied: {found.wrongly_updated}")
        print(f"  failed, but applied: {found.wrongly_failed}")
        wrong += found.wrongly_updated + found.wrongly_failed
    return int(wrong > 0)


sys.exit(main())
