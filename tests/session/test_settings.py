"""Settings: refused where they make no sense."""

import pickle
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from bulkupdate.engine.settings import RetryPolicy
from bulkupdate.errors import ConfigError
from bulkupdate.journal.directory import Mode
from bulkupdate.lemlist.endpoint import ApiKey, Endpoint
from bulkupdate.lemlist.rate import RateLimit
from bulkupdate.sandbox import Fault, SandboxConfig
from bulkupdate.session.export import export_tasks
from bulkupdate.session.plan import plan_edits
from bulkupdate.session.settings import ChangeLimit, FailureLimit, RunConfig
from bulkupdate.session.undo import undo_run

KEY = ApiKey("s3cr3t")


def test_api_key_is_never_shown() -> None:
    """A key appears in none of its text forms and cannot be pickled."""
    shown = [repr(KEY), str(KEY), f"{KEY}", repr(Endpoint(api_key=KEY)), str([KEY])]
    assert not any("s3cr3t" in text for text in shown)
    assert KEY.reveal() == "s3cr3t"
    with pytest.raises(TypeError):
        pickle.dumps(KEY)


@pytest.mark.parametrize("value", ["", " \n", "two words", "clé", "a\x00b"])
def test_impossible_key_is_refused_unseen(value: str) -> None:
    """Text that cannot be a key is refused, and the message does not show it."""
    with pytest.raises(ConfigError) as caught:
        ApiKey(value)
    assert not value.strip() or value not in str(caught.value)


def test_key_comes_from_file_or_environment(tmp_path: Path) -> None:
    """A key comes from the named file, or else from the environment."""
    file = tmp_path / "key"
    file.write_text("from-file\n")
    file.chmod(0o600)
    environ = {"LEMLIST_API_KEY": "from-environment"}
    assert ApiKey.find(file, environ).reveal() == "from-file"
    assert ApiKey.find(None, environ).reveal() == "from-environment"
    with pytest.raises(ConfigError, match="set LEMLIST_API_KEY, or name a file"):
        ApiKey.find(None, {})
    with pytest.raises(ConfigError, match="No such file"):
        ApiKey.find(tmp_path / "none", environ)
    file.write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="not text"):
        ApiKey.find(file, environ)


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("20/2s", RateLimit(20, 2)),
        ("5/s", RateLimit(5, 1)),
        ("100/1m", RateLimit(100, 60)),
        ("1/0.5s", RateLimit(1, 0.5)),
        ("7/H", RateLimit(7, 3600)),
    ],
)
def test_rate_is_read_from_its_notation(text: str, rate: RateLimit) -> None:
    """A rate is read from its notation and is shown in the same form."""
    assert RateLimit.parse(text) == rate
    assert RateLimit.parse(str(rate)) == rate


@pytest.mark.parametrize("text", ["", "20", "0/2s", "20/0s", "-1/2s", "x/2s", "20/2d", "1.5/2s"])
def test_text_that_is_no_rate_is_refused(text: str) -> None:
    """Text that is no rate is refused, with an example."""
    with pytest.raises(ConfigError, match="20/2s"):
        RateLimit.parse(text)


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("1", FailureLimit(rows=1)),
        (" 100 ", FailureLimit(rows=100)),
        ("0%", FailureLimit(percent=0)),
        ("2.5%", FailureLimit(percent=2.5)),
    ],
)
def test_failure_limit_is_read_from_notation(text: str, limit: FailureLimit) -> None:
    """A limit of failures is read from its notation and is shown in the same form."""
    assert FailureLimit.parse(text) == limit
    assert FailureLimit.parse(str(limit)) == limit


@pytest.mark.parametrize("text", ["", "0", "-1", "100%", "x", "5 %", "%", "1.5"])
def test_text_that_is_no_failure_limit_is_refused(text: str) -> None:
    """Text that is no limit of failures is refused."""
    with pytest.raises(ConfigError):
        FailureLimit.parse(text)


def test_share_of_failures_needs_hundred_rows() -> None:
    """A share of failures is judged once there are a hundred rows."""
    assert [FailureLimit(percent=5).is_reached(n, 99) for n in (0, 99)] == [False, False]
    assert [FailureLimit(percent=5).is_reached(n, 100) for n in (5, 6)] == [False, True]
    assert [FailureLimit(rows=3).is_reached(n, 5) for n in (2, 3)] == [False, True]


@pytest.mark.parametrize(
    "url",
    ["https://api.lemlist.com/api", "http://localhost:1/api", "http://127.0.0.9", "http://[::1]:2"],
)
def test_https_and_local_http_are_allowed(url: str) -> None:
    """An https URL is allowed, and an http URL only for this machine."""
    assert Endpoint(api_key=KEY, base_url=f"{url}/").base_url == url


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("http://example.com/api", "unencrypted"),
        ("http://127.0.0.1.evil.example", "unencrypted"),
        ("http://192.168.0.1", "unencrypted"),
        ("ftp://example.com", "must look like"),
        ("example.com", "must look like"),
        ("https://", "must look like"),
        ("https://a.example/?x=1", "must look like"),
        ("https://u:p@a.example", "user name or password"),
        ("https://a.example:port", "is not a URL"),
        ("https://[a", "is not a URL"),
    ],
)
def test_other_urls_are_refused(url: str, says: str) -> None:
    """A URL that is unencrypted, incomplete or has a password is refused."""
    with pytest.raises(ConfigError, match=says):
        Endpoint(api_key=KEY, base_url=url)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Endpoint(api_key=KEY, timeout=0),
        lambda: RetryPolicy(max_attempts=0),
        lambda: RetryPolicy(first_backoff=2, longest_backoff=1),
        lambda: RetryPolicy(give_up_after=-1),
        lambda: FailureLimit(),
        lambda: FailureLimit(rows=5, percent=1),
        lambda: RunConfig(input="a.csv", endpoint=Endpoint(api_key=KEY), changed_input=True),
        lambda: SandboxConfig(outages=((1, -1),)),
        lambda: RunConfig(input="a.csv", endpoint=Endpoint(api_key=KEY), workers=0),
        lambda: RunConfig(input="a.csv", endpoint=Endpoint(api_key=KEY), drain_timeout=-1),
        lambda: RunConfig(input="a.csv", endpoint=Endpoint(api_key=KEY), retry_failed=True),
        lambda: SandboxConfig(host="0.0.0.0"),  # noqa: S104 - refused
        lambda: SandboxConfig(port=70000),
        lambda: SandboxConfig(faults={Fault.HANG: 0.6, Fault.HTML: 0.6}),
        lambda: SandboxConfig(faults={Fault.HANG: -0.1}),
        lambda: SandboxConfig(latency=(5, 1)),
    ],
)
def test_impossible_setting_is_refused(make: Callable[[], Any]) -> None:
    """A setting that makes no sense raises a configuration error."""
    with pytest.raises(ConfigError):
        make()


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("endpoint", "https://api.lemlist.com/api", "an Endpoint"),
        ("first", 2.5, "a whole number, not 2.5"),
        ("first", "3", "a whole number, not '3'"),
        ("first", True, "a whole number"),
        ("workers", "4", "a whole number"),
        ("rate", "5/1s", "a RateLimit"),
        ("rate", 5, "a RateLimit"),
        ("max_changes", 5, r"ChangeLimit\(tasks=5\)"),
        ("max_failures", 5, r"FailureLimit\(rows=5\), not 5"),
        ("max_failures", "5%", "a FailureLimit"),
        ("deadline", "+2h", "a datetime"),
        ("workers", None, "a whole number, not None"),
        ("retry", 5, "a RetryPolicy, not 5"),
        ("retry", None, "a RetryPolicy, not None"),
        ("read", None, "ReadOptions, not None"),
        ("drain_timeout", "30", "a number of seconds, not '30'"),
        ("max_age", "5", "a number of seconds, not '5'"),
        ("skip_invalid", "no", "True or False, not 'no'"),
        ("compare", 1, "True or False, not 1"),
        ("yes", None, "True or False, not None"),
    ],
)
def test_setting_of_another_type_is_refused_at_once(name: str, value: Any, says: str) -> None:
    """A program that gives a wrong type hears of it before anything is sent."""
    given: dict[str, Any] = {"endpoint": Endpoint(api_key=KEY), "compare": True, name: value}
    with pytest.raises(ConfigError, match=f"^{name} takes .*{says}"):
        RunConfig(input="a.csv", **given)


async def test_wrong_types_for_functions_are_refused_at_once(tmp_path: Path) -> None:
    """As for a run: nothing is read, and no file is replaced."""
    endpoint, wrong = Endpoint(api_key=KEY), dict[str, Any]
    with pytest.raises(ConfigError, match="unlisted 'foo' is not one of 'conflict', 'send'"):
        RunConfig(input="a.csv", endpoint=endpoint, compare=True, **wrong(unlisted="foo"))
    for settings, says in (
        (wrong(max_changes=5), r"^max_changes takes a ChangeLimit"),
        (wrong(unlisted="foo"), "^unlisted 'foo' is not one of"),
        (wrong(rate="20/2s"), "^rate takes 'auto', None"),
        (wrong(renew="no"), "^renew takes True or False"),
    ):
        with pytest.raises(ConfigError, match=says):
            await plan_edits(tmp_path / "a.csv", endpoint, **settings).__aenter__()
    for settings in (wrong(overwrite="no"), wrong(rate="20/2s"), wrong(allow_few=0)):
        with pytest.raises(ConfigError, match=" takes "):
            await export_tasks(endpoint, tmp_path / "a.csv", **settings)
    with pytest.raises(ConfigError, match="overwrite takes True or False"):
        undo_run("a.run", tmp_path / "a.csv", **wrong(overwrite="no"))


def test_run_directory_takes_the_inputs_name() -> None:
    """The run directory has the input's name and is in the working directory."""
    endpoint = Endpoint(api_key=KEY)
    assert RunConfig(input="a/b/edits.csv", endpoint=endpoint).directory == Path("edits.run")
    assert RunConfig(input="-", endpoint=endpoint).directory == Path("stdin.run")
    out = RunConfig(input="a.csv", endpoint=endpoint, out=Path("x"), mode=Mode.RESUME)
    assert out.directory == Path("x")


def test_input_and_out_are_paths_or_texts() -> None:
    """The input and the run directory may be paths or texts, with the same meaning."""
    endpoint = Endpoint(api_key=KEY)
    config = RunConfig(input=Path("a.csv"), endpoint=endpoint, out="b.run")
    assert config == RunConfig(input="a.csv", endpoint=endpoint, out=Path("b.run"))
    assert (config.input, config.directory) == ("a.csv", Path("b.run"))
    with pytest.raises(ConfigError, match=r"out '\.' is not the name of a directory"):
        RunConfig(input="a.csv", endpoint=endpoint, out="")


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: RetryPolicy(max_attempts=0), "max_attempts"),
        (lambda: RetryPolicy(max_throttles=0), "max_throttles"),
        (lambda: RetryPolicy(first_backoff=-1), "first_backoff"),
        (lambda: RetryPolicy(longest_backoff=float("nan")), "longest_backoff"),
        (lambda: RetryPolicy(give_up_after=float("inf")), "give_up_after"),
        (lambda: RateLimit(0, 2), "rate"),
        (lambda: FailureLimit(rows=0), "max_failures"),
        (
            lambda: RunConfig(
                input="a",
                endpoint=Endpoint(api_key=KEY),
                deadline=datetime(2026, 1, 1),  # noqa: DTZ001
            ),
            "deadline",
        ),
    ],
)
def test_error_names_its_setting(make: Callable[[], Any], name: str) -> None:
    """The error for a value that makes no sense names the setting."""
    with pytest.raises(ConfigError, match=rf"\b{name}\b"):
        make()


def test_mode_is_taken_by_its_word_or_refused() -> None:
    """A mode may be given as a word, and an unknown word never means overwrite."""
    config = RunConfig(input="a.csv", endpoint=Endpoint(api_key=KEY), mode="resume")  # type: ignore[arg-type]
    assert config.mode is Mode.RESUME
    with pytest.raises(ConfigError, match="mode 'overwrit' is not one of 'new', 'resume'"):
        RunConfig(input="a.csv", endpoint=Endpoint(api_key=KEY), mode="overwrit")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("0", ChangeLimit(tasks=0)),
        (" 200 ", ChangeLimit(tasks=200)),
        ("2.5%", ChangeLimit(percent=2.5)),
        ("100%", ChangeLimit(percent=100)),
    ],
)
def test_change_limit_is_read_from_notation(text: str, limit: ChangeLimit) -> None:
    """A limit of changes is a number of tasks, or a share with `%`."""
    assert ChangeLimit.parse(text) == limit
    assert ChangeLimit.parse(str(limit)) == limit


@pytest.mark.parametrize("text", ["", "many", "-1", "1.5", "101%", "%"])
def test_impossible_change_limit_is_refused(text: str) -> None:
    """A limit in another form, or a share of more than all, is refused."""
    with pytest.raises(ConfigError):
        ChangeLimit.parse(text)


def test_change_limit_is_a_number_or_a_share() -> None:
    """A limit without a number, or with both, is refused: it would refuse or allow anything."""
    for wrong in ({}, {"tasks": 1, "percent": 1.0}, {"tasks": -1}, {"percent": -0.5}):
        with pytest.raises(ConfigError, match="max_changes must be"):
            ChangeLimit(**wrong)


def test_change_limit_counts_what_is_above_it() -> None:
    """A limit allows exactly its number of tasks, and exactly its share of those listed."""
    limits = (ChangeLimit(tasks=20), ChangeLimit(percent=5))
    assert [limit.is_exceeded(20, 400) for limit in limits] == [False, False]
    assert [limit.is_exceeded(21, 400) for limit in limits] == [True, True]
