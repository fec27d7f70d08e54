"""The settings of a sandbox."""

import enum
import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from bulkupdate import fields
from bulkupdate.errors import ConfigError, setting
from bulkupdate.lemlist.endpoint import is_loopback
from bulkupdate.lemlist.rate import LEMLIST_RATE, RateLimit


class Window(enum.StrEnum):
    """The way in which the server counts requests. lemlist's own way is not known for sure."""

    FIXED = "fixed"
    """A fixed window that begins with its first request: the best guess."""

    CLOCK = "clock"
    """A fixed window that begins at multiples of the period on the clock."""

    SLIDING = "sliding"
    """A sliding log: no period holds more requests than the limit, wherever it begins."""

    BUCKET = "bucket"
    """A token bucket that refills continuously."""


class Fault(enum.StrEnum):
    """A fault of the server for a request that is authorised and within the limit."""

    INTERNAL_ERROR = "500"
    """Status 500. The edit is not applied."""

    UNAVAILABLE = "503"
    """Status 503. The edit is not applied."""

    RESET_BEFORE = "reset-before"
    """The connection is reset. The edit is not applied."""

    RESET_AFTER = "reset-after"
    """The edit is applied, then the connection is reset."""

    HANG = "hang"
    """No response at all. The edit is not applied."""

    CUT = "cut"
    """The edit is applied, and the response ends in the middle."""

    MALFORMED = "malformed"
    """The edit is applied, and the response is a 200 whose JSON is broken."""

    HTML = "html"
    """Status 200 with an HTML page. The edit is not applied."""


class Unknown(enum.StrEnum):
    """The response to a PATCH of an unknown id. lemlist's own response is not known."""

    NOT_FOUND = "404"
    """Status 404."""

    BAD_TEAM = "400"
    """Status 400 with `Bad team`."""

    CREATE = "create"
    """The server creates the task."""


class AfterLast(enum.StrEnum):
    """The answer to a request for a page after the last one. lemlist's own is not known."""

    EMPTY = "empty"
    """No tasks."""

    REPEAT = "repeat"
    """The last page once more."""

    NOT_FOUND = "404"
    """Status 404."""


class Order(enum.StrEnum):
    """The order of the tasks in a list. lemlist's own is not known."""

    TEAM = "team"
    """The order of the team, the same at each request."""

    NEWEST = "newest"
    """The one created last comes first, by `createdAt`."""

    RANDOM = "random"
    """Another order at each request."""


class Bounds(enum.StrEnum):
    """Whether the days `from` and `to` belong to the range of a filter. It is not known."""

    INCLUSIVE = "inclusive"
    """Tasks that are due on these days are listed."""

    EXCLUSIVE = "exclusive"
    """They are not."""


#: The documented filters of `GET /tasks`.
FILTERS = (
    *("fullName", "email", "phone", "linkedin"),
    *("campaignId", "campaignState", "type", "assignedTo", "dueDate"),
)

#: Fields of a Task that a list may lack.
HIDEABLE = frozenset(
    {"title", "content", "priority", "dueDate", "userId", "images", "videos", *fields.READ_ONLY}
)

#: Routes beside the tasks that can be closed.
SIDE_ROUTES = ("team", "users", "senders")

#: What a closed route answers in the place of a status: a 200 with the page of the web app.
HTML: Literal["html"] = "html"


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxConfig:
    """The settings of a sandbox.

    Attributes:
        host: the host to listen on. It must be loopback, unless `exposed` is true.
        exposed: whether another host than loopback is allowed.
        port: the port to listen on; 0 takes a free one.
        key: the API key that the server accepts.
        rate: requests per period for each key; None for no limit.
        window: the way to count the requests.
        latency: shortest and longest time that a request takes each way, in milliseconds.
        faults: the probability of each fault, from 0 to 1. The sum is at most 1.
        outages: times when the server answers 503 to everything: begin and length, in seconds. The
            begin counts from the first request.
        unknown: the response to a PATCH of an unknown id.
        filters_required: whether `GET /tasks` without `filters` is a 400, as some tenants report.
        page_size: number of tasks on a page of `GET /tasks`. lemlist's own number is not known.
        after_last: the answer to a request for a page after the last one.
        order: the order of the tasks in `GET /tasks`.
        ignored_filters: names of filters that have no effect; `all` stands for all of them, known
            or not.
        due_bounds: whether the days of a filter on due dates belong to its range.
        hidden: fields, by their names in a Task, that `GET /tasks` does not show though the tasks
            have them.
        shift: number of new tasks that appear at the beginning of the list when a page has been
            read, so that the rest of the list moves on.
        elsewhere: the probability, from 0 to 1, that another user completes a pending task when a
            page has been read.
        lag: how long it takes until the list shows a change that was made through the API, in
            seconds. The answer to the change shows it at once.
        reopens: whether `done: false` makes a completed task pending again. If not, it has no
            effect on such a task.
        trims: whether answers show titles and messages without blanks around them.
        closed: the side routes that are closed (`team`, `users`, `senders`), each with the status
            that it answers, or with `html` for a 200 with the page of the web app.
        team_version: the newest version of `GET /team` that the server knows. 2 lists the members
            with their names where `?version=v2` asks for it; 1 ignores that.
        seed: the seed of every random choice.
        log: a file that gets one JSON line for every request, or None.

    Raises:
        ConfigError: one of the settings is wrong.
    """

    host: str = "127.0.0.1"
    exposed: bool = False
    port: int = 0
    key: str = "sandbox"
    rate: RateLimit | None = LEMLIST_RATE
    window: Window = Window.FIXED
    latency: tuple[float, float] = (0.0, 0.0)
    faults: Mapping[Fault, float] = field(default_factory=dict)
    outages: tuple[tuple[float, float], ...] = ()
    unknown: Unknown = Unknown.NOT_FOUND
    filters_required: bool = False
    page_size: int = 100
    after_last: AfterLast = AfterLast.EMPTY
    order: Order = Order.TEAM
    ignored_filters: Collection[str] = ()
    due_bounds: Bounds = Bounds.INCLUSIVE
    hidden: Collection[str] = ()
    shift: int = 0
    elsewhere: float = 0.0
    lag: float = 0.0
    reopens: bool = True
    trims: bool = False
    closed: Mapping[str, int | Literal["html"]] = field(default_factory=dict)
    team_version: int = 2
    seed: int = 0
    log: str | Path | None = None

    def __post_init__(self) -> None:
        self._check_server()
        self._check_trouble()
        self._check_list()
        self._check_side_routes()

    def _check_server(self) -> None:
        if not is_loopback(self.host) and not self.exposed:
            raise ConfigError(
                f"{self.host} lets other machines connect: {setting('expose')} allows it"
            )
        if not 0 <= self.port <= 65535:
            raise ConfigError("the port must be a number from 0 to 65535")
        low, high = self.latency
        if not 0 <= low <= high or not math.isfinite(high):
            raise ConfigError(
                "the latency must be two numbers of milliseconds, the smaller one first"
            )

    def _check_trouble(self) -> None:
        if not all(0 <= p <= 1 for p in self.faults.values()) or sum(self.faults.values()) > 1:
            raise ConfigError(
                "the probability of a fault must be from 0 to 1, and their sum at most 1"
            )
        if not all(0 <= time < math.inf for outage in self.outages for time in outage):
            raise ConfigError("the begin and the length of an outage must be seconds, 0 or more")

    def _check_list(self) -> None:
        if self.page_size < 1:
            raise ConfigError(f"{setting('page_size')} must be 1 or more")
        if self.shift < 0:
            raise ConfigError(f"{setting('shift')} must be a number of tasks, 0 or more")
        if not 0 <= self.elsewhere <= 1:
            raise ConfigError(f"{setting('elsewhere')} must be a probability, from 0 to 1")
        if not 0 <= self.lag < math.inf:
            raise ConfigError(f"{setting('lag')} must be a number of seconds, 0 or more")
        _check_names("filter that can be ignored", self.ignored_filters, ("all", *FILTERS))
        _check_names("field that a list can hide", self.hidden, sorted(HIDEABLE))

    def _check_side_routes(self) -> None:
        _check_names("route that can be closed", self.closed, SIDE_ROUTES)
        for answer in self.closed.values():
            if answer != HTML and answer not in range(400, 600):
                raise ConfigError(
                    f"a closed route answers a status from 400 to 599, or html: not {answer!r}"
                )
        if self.team_version not in (1, 2):
            raise ConfigError(f"{setting('team_version')} must be 1 or 2")


def _check_names(what: str, names: Iterable[str], known: Collection[str]) -> None:
    """Refuse a name that is not among the known ones."""
    for name in names:
        if name not in known:
            raise ConfigError(f"{name!r} is not a {what}: known are {', '.join(known)}")
