"""Every public signature in use. This file is type-checked and never run."""

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from bulkupdate import (
    UNSET,
    Account,
    Accounts,
    ApiKey,
    BadListError,
    BadRequestError,
    BadResponseError,
    BlockedError,
    BulkUpdateError,
    CertificateError,
    Change,
    ChangeLimit,
    ConfigError,
    ConnectError,
    ConnectionLostError,
    DeclinedError,
    End,
    Endpoint,
    Exported,
    FailureLimit,
    ForbiddenError,
    Format,
    InputError,
    InvalidUpdateError,
    JournalError,
    KeyRefusedError,
    Mode,
    NoPermitError,
    NotFoundError,
    Observer,
    Obstacle,
    Outcome,
    PastRun,
    PaymentRequiredError,
    Plan,
    Preview,
    Problem,
    Progress,
    ProxyRefusedError,
    RateLimit,
    RateLimitedError,
    ReadOptions,
    Reason,
    RedirectError,
    RefusedError,
    Removed,
    RequestTimeoutError,
    Result,
    RetryPolicy,
    RunConfig,
    RunDirectoryError,
    RunInUseError,
    RunStoppedError,
    Selection,
    ServerError,
    State,
    Stop,
    Summary,
    Task,
    TaskClient,
    TaskError,
    TaskUpdate,
    TlsVersionError,
    UnauthorizedError,
    Undone,
    Unread,
    WaitTooLongError,
    __version__,
    export_tasks,
    past_runs,
    plan_edits,
    remove_runs,
    run,
    undo_run,
    update_tasks,
    write_nights,
    write_report,
)
from bulkupdate.sandbox import (
    Fault,
    Sandbox,
    SandboxAccount,
    SandboxConfig,
    Unknown,
    Window,
    made_up_team,
)

version: str = __version__
key: ApiKey = ApiKey("…")
found: ApiKey = ApiKey.find(Path("key"), {"LEMLIST_API_KEY": "…"})
endpoint = Endpoint(api_key=key, base_url="https://api.lemlist.com/api", timeout=30, use_proxy=True)
accounts: Accounts = Accounts.load(
    Path("accounts.toml"),
    environ={"ACME_KEY": "…"},
    base_url="https://api.lemlist.com/api",
    timeout=30,
    use_proxy=True,
)
account: Account = accounts["acme"]
config = RunConfig(
    input="edits.csv",
    endpoint=endpoint,
    read=ReadOptions(format=Format.CSV, mapping={"Owner": "assignedTo"}, timezone="Europe/Paris"),
    merge_duplicates=True,
    out=Path("edits.run"),
    mode=Mode.RESUME,
    retry_failed=True,
    skip_invalid=False,
    rate=RateLimit.parse("20/2s"),
    workers=16,
    retry=RetryPolicy(max_attempts=5, max_throttles=20, first_backoff=0.5, longest_backoff=30),
    drain_timeout=30,
    max_failures=FailureLimit.parse("5%"),
    deadline=datetime(2026, 12, 1, 6, tzinfo=UTC),
    sandbox=False,
    strict=True,
)
also = RunConfig(
    input=Path("edits.csv"),
    endpoint=endpoint,
    read=ReadOptions(value_map="owners.csv", only=("title",)),
    out="edits.run",
    compare=True,
    unlisted="send",
    max_age=600,
    max_changes=ChangeLimit.parse("5%"),
    allow_few=True,
)
shorter = TaskUpdate(id="opp_a", title=UNSET if version else "Call back")


def clients() -> dict[str, Endpoint]:
    endpoints: dict[str, Endpoint] = {name: one.endpoint() for name, one in accounts.items()}
    accounts.refuse_shared_keys(endpoints)
    texts: list[str] = [account.name, account.base_url, account.source]
    assert account.read_only or texts
    assert account in Accounts.load("accounts.toml", environ={}).values()
    return {name: one.endpoint() for name, one in Accounts.of(endpoints).items()}


class Watching(Observer):
    """Prints."""

    async def watch(self, progress: Progress) -> None:
        pace: float = progress.rows_per_second
        left: float | None = progress.seconds_left
        print(pace, left)  # noqa: T201


def report() -> Path:
    path: Path = write_report(Path("edits.run"))
    assert path.name == "report.html"
    assert write_report("edits.run", "edits.html") == Path("edits.html")
    return write_report(Path("edits.run"), Path("edits.html"))


def problems(error: InvalidUpdateError) -> list[str]:
    found: tuple[Problem, ...] = error.problems
    return [f"{problem.named}: {problem.message}" for problem in found]


def requests(preview: Preview) -> int:
    return preview.requests


async def planned() -> list[Change]:
    making = plan_edits("edits.csv", endpoint, output=Path("plan.csv"), renew=True, stop=Stop())
    async with making as plan:
        counted: Plan = plan
        print(counted.tasks, counted.listed, counted.conflicts)  # noqa: T201
        first = [*plan.changes()]
    async with plan_edits("edits.csv", accounts=accounts, account="acme") as several:
        parts: dict[str, Plan] = several.accounts
        unread: dict[str, str] = several.unread
        assert parts or unread or several.has_accounts
        return [one for one in first if not one.account]


async def file() -> Summary:
    summary: Summary = await run(config, stop=Stop(), observer=Watching())
    state: State = summary.state
    reason: Reason | None = summary.stopped_by
    assert reason is not Reason.KEY_REFUSED
    counts: dict[str, int] = summary.counts
    assert all(cause.count and cause.message for cause in summary.problems)
    assert state in counts
    return summary


async def careful() -> Summary:
    async def confirm(preview: Preview) -> bool:
        return preview.completes_or_clears < 100 and preview.completes == 0

    return await run(config, confirm=confirm)


async def single() -> Task:
    async with TaskClient(endpoint, connections=4) as client:
        task: Task = await client.update(TaskUpdate(id="opp_a", due_date=datetime.now(UTC)))
    name: str | None = task.assigned_to
    assert name
    return task


async def export() -> int:
    bens = Selection(
        assigned_to=["ben@acme.example"],
        types=["phone"],
        campaigns=["cam_a"],
        due_from=date(2026, 12, 1),
        due_to=date(2026, 12, 31),
        overdue=True,
        zone=ZoneInfo("Europe/Paris"),
    )
    exported: Exported = await export_tasks(
        endpoint,
        "tasks.xlsx",
        selection=bens,
        overwrite=True,
        allow_few=True,
        rate=RateLimit.parse("5/s"),
        retry=RetryPolicy(give_up_after=60),
        stop=Stop(),
        on_page=print,
    )
    left_out: dict[str, int] = exported.left_out.counts
    notes: list[str] = exported.notes
    assert exported.tasks + exported.requests >= len(left_out) + len(notes)
    await export_tasks(endpoint, Path("tasks.jsonl"))
    several: Exported = await export_tasks(None, "all.csv", accounts=accounts)
    by_account: dict[str, int] = several.accounts
    assert by_account
    return exported.listed


def undo() -> int:
    undone: Undone = undo_run(["monday.run", Path("tuesday.run")], "undo.jsonl", overwrite=True)
    unknown: dict[str, int] = undone.left_out[Obstacle.UNKNOWN].counts
    in_tables: list[str] = undone.only_jsonl.named + undone.unwritable.named
    rows: dict[str, int] = undone.rows_left
    assert undone.counts or unknown or in_tables or rows or undone.changed.counts
    ruleless: dict[str, int] = undone.unknown_rule.counts
    assert ruleless or undo_run("a.run", "back.csv", rules="Ben is away").tasks
    assert undo_run(["a.run"], "back.csv", rules=("Ben is away", "Late calls")).tasks
    assert undo_run("edits.run", Path("undo.csv")) != undo_run(Path("edits.run"), "undo.xlsx")
    return undone.tasks


def history() -> list[str]:
    page: Path = write_nights("runs", timezone="Europe/Paris")
    pages = write_nights([Path("a.run"), "b.run"], "nights.html"), write_nights(Path("runs"))
    names = [str(page), *map(str, pages)]
    for one in past_runs(["runs", Path("edits.run")]):
        if isinstance(one, Unread):
            names.append(f"{one.path} {one.why} {one.is_foreign}")
            continue
        past: PastRun = one
        began: datetime = past.began
        counts: dict[str, int] = past.rules.get("Spread", past.counts)
        is_done: bool = past.end is End.DONE or past.end.is_success
        assert past.summary.counts or counts or is_done or began.tzinfo
    assert [*past_runs("runs")] != [*past_runs(Path("runs"))]
    removed: list[Removed] = [*remove_runs("runs", timedelta(days=30), dry_run=True)]
    return names + [f"{one.path} {one.ended} {one.kept} {one.has_failed}" for one in removed]


async def listed() -> AsyncIterator[str]:
    async with TaskClient(endpoint) as client:
        async for task in client.tasks([{"filterId": "assignedTo", "in": ["usr_a"]}]):
            yield task.id


async def many() -> AsyncIterator[Outcome]:
    updates = [TaskUpdate(id="opp_a", priority="high", done=True)]
    async for result in update_tasks(updates, endpoint, rate=None, workers=2, retry=RetryPolicy()):
        one: Result = result
        yield one.outcome


async def sandbox() -> str:
    settings = SandboxConfig(
        window=Window.SLIDING, faults={Fault.HANG: 0.1}, unknown=Unknown.CREATE, latency=(5, 50)
    )
    async with Sandbox(settings) as server:
        return server.base_url


async def sandbox_of_accounts() -> int:
    acme = SandboxAccount(key="a", team=made_up_team("acme", shared=3), faults={Fault.HANG: 0.1})
    async with Sandbox(accounts={"acme": acme}) as server:
        server.accounts["acme"].refused = True
        return server.accounts["acme"].requests["401"]


ERRORS: tuple[type[BulkUpdateError], ...] = (
    ConfigError,
    DeclinedError,
    InputError,
    InvalidUpdateError,
    JournalError,
    NoPermitError,
    RunDirectoryError,
    RunInUseError,
    RunStoppedError,
    TaskError,
    WaitTooLongError,
)

OF_A_ROW: tuple[type[TaskError], ...] = (
    BadListError,
    BadRequestError,
    BadResponseError,
    BlockedError,
    CertificateError,
    ConnectError,
    ConnectionLostError,
    ForbiddenError,
    KeyRefusedError,
    NotFoundError,
    PaymentRequiredError,
    ProxyRefusedError,
    RateLimitedError,
    RedirectError,
    RefusedError,
    RequestTimeoutError,
    ServerError,
    TlsVersionError,
    UnauthorizedError,
)
