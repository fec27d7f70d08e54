"""What a shell has to do with the command: variables, completion, help, the key's file."""

import json
import re
import subprocess
from dataclasses import fields
from pathlib import Path

import click
import cloup
import pytest

import bulkupdate as bulkupdate_package
from bulkupdate import ApiKey, ConfigError, Endpoint, RunConfig
from bulkupdate.cli import cli
from bulkupdate.cli import environment as environ
from bulkupdate.cli.check import CheckFlags, check_command
from bulkupdate.cli.command import Command, TypedOption, flag_of
from bulkupdate.cli.export import ExportFlags, export_command
from bulkupdate.cli.run import run_command
from bulkupdate.cli.run_options import RunFlags
from tests.conftest import needed
from tests.support.commands import all_updated, bulkupdate, environment, serving, summary_in

PACKAGE = Path(bulkupdate_package.__file__ or "").parent

GROUPED = [
    command
    for name in cli.list_commands(click.Context(cli))
    if isinstance(command := cli.get_command(click.Context(cli), name), Command)
    and command.variables
]


@pytest.fixture(autouse=True)
def _edits() -> None:
    Path("edits.csv").write_text("id,Subject Line,Notes\nopp_1,a,x\nopp_2,b,y\n")


def test_help_groups_every_flag() -> None:
    """The help puts every flag into a group and shows every example of the command."""
    names = [command.name for command in GROUPED]
    assert names == [
        "export", "team", "accounts", "check", "plan", "run", "report", "history", "undo",
    ]  # fmt: skip
    for command in GROUPED:
        assert command.ungrouped_options == []
        text = command.get_help(cloup.Context(command, info_name=command.name))
        for line, _ in command.examples:
            assert line in text


def test_flags_record_has_field_per_flag() -> None:
    """The record that the command works with has a field for each flag, and no other."""
    commands = {RunFlags: run_command, CheckFlags: check_command, ExportFlags: export_command}
    for record, command in commands.items():
        # Not every command with a connection knows accounts.
        named = {field.name for field in fields(record)} - {"accounts", "account"}
        assert named == {str(p.name) for p in command.params} - {"accounts", "account"}


def test_messages_name_only_existing_flags() -> None:
    """Each name in a call of `setting` in the package becomes a flag of some command."""
    source = "".join(path.read_text() for path in PACKAGE.rglob("*.py"))
    named = set(re.findall(r"""\bsetting\(["'](\w+)["']\)""", source))
    flags = {
        flag
        for name in cli.list_commands(click.Context(cli))
        for parameter in (cli.get_command(click.Context(cli), name) or run_command).params
        for flag in parameter.opts
    }
    assert len(named) > 20
    assert {flag_of(name) for name in named} <= flags


def test_python_errors_name_settings_by_parameter() -> None:
    """An error names a setting by its parameter in Python and by its flag in the shell."""
    with pytest.raises(ConfigError, match=r"^drain_timeout must be a number of seconds"):
        RunConfig(input="x", endpoint=Endpoint(api_key=ApiKey("k")), drain_timeout=-1)
    done = bulkupdate("run", "edits.csv", "--sandbox", "--drain-timeout", "-1")
    assert "error: --drain-timeout must be a number of seconds" in done.stderr


def test_typed_flag_wins_over_its_variable() -> None:
    """Every flag but `--yes` has an environment variable, and the typed flag wins over it."""
    for command in GROUPED:
        for parameter in command.params:
            if isinstance(parameter, TypedOption):
                assert (parameter.opts, parameter.envvar) == (["--yes"], None)
            elif isinstance(parameter, click.Option):
                flag = max(parameter.opts, key=len)
                assert parameter.envvar == "BULKUPDATE_" + flag[2:].replace("-", "_").upper()
                assert parameter.help
    done = bulkupdate(
        "run", "edits.csv", "--sandbox", "--first", "2", "--json",
        BULKUPDATE_MAP="Subject Line=title\nNotes=message\n",
        BULKUPDATE_FIRST="1",
        BULKUPDATE_OUT="there.run",
        BULKUPDATE_STRICT="1",
        BULKUPDATE_PROXY="0",
        BULKUPDATE_RATE="none",
        BULKUPDATE_VERBOSE="2",
        BULKUPDATE_LOG_FORMAT="json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary["directory"] == "there.run"
    assert summary["counts"]["updated"] == 2
    assert summary["input"]["columns"] == {
        "id": "id", "Subject Line": "title", "Notes": "message"
    }  # fmt: skip
    assert all(json.loads(line) for line in done.stderr.splitlines())


def test_check_reads_same_variables_as_run() -> None:
    """`check` takes its settings from the same environment variables as `run`."""
    done = bulkupdate("check", "edits.csv", BULKUPDATE_MAP="Subject Line=title\nNotes=message")
    assert done.returncode == 0
    assert "sets: title 2, message 2" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("name", ["BULKUPDATE_BASE_URL", "BULKUPDATE_MAP", "BULKUPDATE_RESUME"])
def test_set_but_empty_variable_is_error(name: str) -> None:
    """A variable that is set but empty exits with 2 and is named in the error."""
    done = bulkupdate("run", "edits.csv", "--sandbox", **{name: " "})
    assert done.returncode == 2
    assert f"${name} is set but empty" in done.stderr


def test_error_names_variable_with_wrong_value() -> None:
    """A wrong value in a variable exits with 2, and the error names the variable."""
    done = bulkupdate("run", "edits.csv", "--sandbox", BULKUPDATE_RATE="fast")
    assert done.returncode == 2
    assert "--rate" in done.stderr
    assert "(the value of $BULKUPDATE_RATE)" in done.stderr


@pytest.mark.parametrize(
    ("command", "name", "says"),
    [
        ("run edits.csv", "BULKUPDATE_DRYRUN", "did you mean $BULKUPDATE_DRY_RUN?"),
        ("run edits.csv --sandbox", "bulkupdate_dry_run", "did you mean $BULKUPDATE_DRY_RUN?"),
        ("check edits.csv", "BULKUPDATE_MAX_FAILURE", "did you mean $BULKUPDATE_MAX_FAILURES?"),
        ("report edits.run", "BULKUPDATE_OUTPUTS", "did you mean $BULKUPDATE_OUTPUT?"),
        ("sandbox", "BULKUPDATE_PORT", "sets no flag"),
        ("check edits.csv", "BULKUPDATE_XYZZY", "unset it"),
    ],
)
def test_unknown_variable_is_refused_with_suggestion(command: str, name: str, says: str) -> None:
    """A variable that sets no flag of any command exits with 2 and suggests a similar one."""
    done = bulkupdate(*command.split(), **{name: "1"})
    assert done.returncode == 2
    assert f"${name} sets no flag: " in done.stderr
    assert says in done.stderr
    assert not Path("edits.run").exists()


@pytest.mark.parametrize(
    "variables",
    [
        {"BULKUPDATE_WORKERS": "4", "BULKUPDATE_PROBLEMS": "p.csv", "BULKUPDATE_OUTPUT": "r.html"},
        {
            "BULKUPDATE_SERVICE_HOST": "10.0.0.1",
            "BULKUPDATE_SERVICE_PORT": "80",
            "BULKUPDATE_SERVICE_PORT_HTTP": "80",
            "BULKUPDATE_PORT": "tcp://10.0.0.1:80",
            "BULKUPDATE_PORT_80_TCP": "tcp://10.0.0.1:80",
            "BULKUPDATE_PORT_80_TCP_PROTO": "tcp",
            "BULKUPDATE_PORT_80_TCP_PORT": "80",
            "BULKUPDATE_PORT_80_TCP_ADDR": "10.0.0.1",
            "BULKUPDATE_SANDBOX_PORT": "tcp://10.0.0.1:80",
        },
        {"BULKUPDATE": "1", "OTHER": "x"},
    ],
    ids=["of another command", "of Kubernetes", "without the prefix"],
)
def test_variable_of_another_command_is_no_mistake(variables: dict[str, str]) -> None:
    """A variable of another command, or of a Kubernetes Service, is left alone."""
    done = bulkupdate("check", "edits.csv", "--ignore-extra", "--only", "id", **variables)
    assert "sets no flag" not in done.stderr
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("variables", "says"),
    [
        ({"LEMLIST_APIKEY": "k"}, "$LEMLIST_APIKEY is not read: did you mean $LEMLIST_API_KEY?"),
        ({"LEMLIST_TOKEN": "k"}, "no API key: set LEMLIST_API_KEY"),
        (
            {"LEMLIST_API_KEY": "k", "LEMLIST_BASEURL": "http://127.0.0.1:1"},
            "$LEMLIST_BASEURL is not read: did you mean $LEMLIST_BASE_URL?",
        ),
        (
            {"LEMLIST_API_KEY": "k", "LEMLIST_API_URL": "http://127.0.0.1:1"},
            "$LEMLIST_API_URL is not read: did you mean $LEMLIST_BASE_URL?",
        ),
        (
            {"LEMLIST_API_KEY": "k", "lemlist_base_url": "http://127.0.0.1:1"},
            "$lemlist_base_url is not read: did you mean $LEMLIST_BASE_URL?",
        ),
    ],
)
def test_misspelt_key_or_url_variable_sends_nothing(variables: dict[str, str], says: str) -> None:
    """A misspelt variable of the key or of the URL exits with 2, and the right one is named."""
    # No row has a field to change: nothing could be sent.
    done = bulkupdate("run", "edits.csv", "--ignore-extra", **variables)
    assert done.returncode == 2
    assert says in done.stderr
    assert not Path("edits.run").exists()


def test_similar_variable_beside_the_right_one_is_no_mistake() -> None:
    """A similar name is left alone where the right variable is set, or holds no URL."""
    given = {"LEMLIST_API_KEY": "k", "LEMLIST_API_KEY_2": "l", "LEMLIST_DB_URL": "postgres://a"}
    environ.check_key(given)
    environ.check_base_url(given)
    environ.check_base_url({"LEMLIST_BASE_URL": "https://a", "LEMLIST_BASE_URL_2": "https://b"})
    with pytest.raises(ConfigError, match="LEMLIST_DB_URL is not read"):
        environ.check_base_url({"LEMLIST_DB_URL": "https://a"})


@pytest.mark.parametrize(
    ("name", "value"),
    [("BULKUPDATE_DRY_RUN", "ja"), ("BULKUPDATE_WORKERS", "many"), ("BULKUPDATE_VERBOSE", "x")],
)
def test_wrong_value_of_a_variable_sends_nothing(name: str, value: str) -> None:
    """A value that its flag can't have exits with 2, and the variable is named."""
    done = bulkupdate("run", "edits.csv", "--sandbox", **{name: value})
    assert done.returncode == 2
    assert f"(the value of ${name})" in done.stderr
    assert not Path("edits.run").exists()


def test_typed_sandbox_wins_over_url_variable() -> None:
    """A typed `--sandbox` wins over a URL in a variable, but not over a typed URL."""
    flags = ("run", "edits.csv", "--sandbox", "--ignore-extra", "--set", "done=yes")
    done = bulkupdate(*flags, BULKUPDATE_BASE_URL="https://api.example.com")
    assert done.returncode == 0, done.stderr
    assert "the sandbox saw 2 requests" in done.stderr
    both = bulkupdate(*flags, "--base-url", "https://api.example.com", "--overwrite")
    assert both.returncode == 2


def test_file_instead_of_command_gets_hint() -> None:
    """A file name instead of a command exits with 2 and suggests `check` or `run`."""
    done = bulkupdate("edits.csv")
    assert done.returncode == 2
    assert "'edits.csv' is a file: write 'bulkupdate check' or 'bulkupdate run'" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(("mode", "code"), [(0o600, 0), (0o400, 0), (0o640, 2), (0o604, 2)])
def test_key_file_readable_by_others_is_refused(mode: int, code: int) -> None:
    """A run refuses a key file that other users can read, and prints the `chmod` to run."""
    key = Path("key")
    key.write_text("sandbox\n")
    key.chmod(mode)
    flags = ("--ignore-extra", "--set", "done=yes", "--api-key-file", "key")
    with serving("--unknown-id", "create") as sandbox:
        done = bulkupdate("run", "edits.csv", *flags, LEMLIST_BASE_URL=sandbox.url)
    assert done.returncode == code, done.stderr
    if code:
        assert "--api-key-file key can be read or written by others: chmod 600 key" in done.stderr


def test_empty_variable_keeps_help_and_completion() -> None:
    """An empty variable stops neither `--help` nor completion."""
    assert bulkupdate("run", "--help", BULKUPDATE_RATE="").returncode == 0
    done = bulkupdate(
        BULKUPDATE_RATE="", COMP_WORDS="bulkupdate run --ret", COMP_CWORD="2",
        _BULKUPDATE_COMPLETE="bash_complete",
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("plain,--retry-failed\n", "")


@pytest.mark.slow
def test_next_command_works_when_pasted() -> None:
    """A printed next command works in bash, whatever its flags and file name contain."""
    flags = ("run", "./-e d'its.csv", "--ignore-extra", "--first", "1")
    Path("-e d'its.csv").write_text("id,Notes\nopp_1,x\nopp_2,y\n")
    said = {"BULKUPDATE_SET": "message=Hi\ttab\ndone=yes", "BULKUPDATE_PROXY": "0"}
    with serving("--unknown-id", "create") as sandbox:
        first = bulkupdate(*flags, **said, **sandbox.environment)
        [line] = [text for text in first.stderr.splitlines() if text.startswith("continue with: ")]
        command = line.removeprefix("continue with: ")
        assert "--set $'message=Hi\\ttab' --set done=yes" in command
        assert "--proxy" not in command
        done = subprocess.run(
            ["bash", "-c", command],
            capture_output=True,
            text=True,
            env=environment(**sandbox.environment),
            check=False,
        )
    assert done.returncode == 0, done.stderr
    assert all_updated(done.stderr, 2)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("typed", "variables"),
    [
        (("--overwrite",), {"BULKUPDATE_RESUME": "1"}),
        (("--resume",), {"BULKUPDATE_OVERWRITE": "1"}),
        (("--overwrite",), {"BULKUPDATE_SANDBOX": "1"}),
    ],
)
def test_typed_flag_wins_over_opposite_variable(
    typed: tuple[str, ...], variables: dict[str, str]
) -> None:
    """A typed flag wins over an environment variable that contradicts it."""
    flags = ("run", "edits.csv", "--ignore-extra", "--set", "done=yes")
    with serving("--unknown-id", "create") as sandbox:
        goes = ("--base-url", sandbox.url)
        key = {"LEMLIST_API_KEY": "sandbox"}
        bulkupdate(*flags, *goes, **key)
        done = bulkupdate(*flags, *goes, *typed, **variables, **key)
    assert done.returncode == 0, done.stderr
    assert summary_in()["requests"] == (0 if "--resume" in typed else 2)
    assert not summary_in()["sandbox"]


@pytest.mark.slow
def test_next_command_omits_overridden_variables() -> None:
    """The printed next command leaves out a variable that a typed flag overrides."""
    flags = ("run", "edits.csv", "--ignore-extra", "--set", "done=yes", "--first", "1")
    with serving("--unknown-id", "create") as sandbox:
        real = bulkupdate(
            *flags, "--base-url", sandbox.url, BULKUPDATE_SANDBOX="1", LEMLIST_API_KEY="sandbox"
        )
    trial = bulkupdate(*flags, "--sandbox", "--overwrite", BULKUPDATE_BASE_URL="https://a.example")
    rest = "--set done=yes --ignore-extra --out edits.run --resume\n"
    assert f"run edits.csv --base-url {sandbox.url} {rest}" in real.stderr
    assert f"run edits.csv --sandbox {rest}" in trial.stderr


@pytest.mark.slow
def test_failed_file_command_keeps_relative_dates() -> None:
    """The command for the failed file sets `--now`, so that relative dates stay the same."""
    Path("later.csv").write_text("id,dueDate\nopp_none,+3d\n")
    with serving() as sandbox:
        done = bulkupdate("run", "later.csv", "--rate", "none", **sandbox.environment)
        plain = bulkupdate(
            "run", "edits.csv", "--ignore-extra", "--set", "done=yes", **sandbox.environment
        )
        other = bulkupdate(
            "run", "later.csv", "--overwrite", BULKUPDATE_OUT="x.run", **sandbox.environment
        )
    now = json.loads(Path("later.run/summary.json").read_text())["input"]["now"]
    command = f"bulkupdate run later.run/failed.csv --rate none --now {now}"
    assert f"once it is fixed: {command}\n" in done.stderr
    assert "--now" not in plain.stderr
    assert "--out failed.run" in other.stderr


def completed(shell: str, script: str) -> list[str]:
    """What a script of a real shell prints, in lines."""
    done = subprocess.run(
        [needed(shell), "-c", script],
        capture_output=True,
        text=True,
        env=environment(HOME=str(Path.cwd())),
        timeout=60,
        check=True,
    )
    return done.stdout.split()


def test_bash_script_completes_flag_names() -> None:
    """The bash script registers the completion and completes the name of a flag."""
    script = """
        eval "$(bulkupdate completion bash)"
        complete -p bulkupdate | grep -o _bulkupdate_completion
        COMP_WORDS=(bulkupdate run edits.csv --ret) COMP_CWORD=3
        _bulkupdate_completion bulkupdate
        printf '%s\\n' "${COMPREPLY[@]}"
    """
    assert completed("bash", script) == ["_bulkupdate_completion", "--retry-failed"]


@pytest.mark.slow
def test_fish_completes_commands_and_values() -> None:
    """The fish script completes commands and the values of flags."""
    script = """
        bulkupdate completion fish | source
        complete -C 'bulkupdate che' | cut -f 1
        complete -C 'bulkupdate run edits.csv --log-format j' | cut -f 1
        complete -C 'bulkupdate run edits.csv --timezone Europe/Par' | cut -f 1
    """
    assert completed("fish", script) == ["check", "json", "Europe/Paris"]


@pytest.mark.slow
def test_zsh_script_registers_and_completes_flags() -> None:
    """The zsh script registers the completion, which completes the name of a flag."""
    script = """
        autoload -Uz compinit && compinit -u -d ./zcompdump
        eval "$(bulkupdate completion zsh)"
        print -r -- ${_comps[bulkupdate]}
        COMP_WORDS="bulkupdate run edits.csv --max-f" COMP_CWORD=3 \\
            _BULKUPDATE_COMPLETE=zsh_complete bulkupdate
    """
    assert completed("zsh", script)[:3] == ["_bulkupdate_completion", "plain", "--max-failures"]


def test_unknown_shell_error_lists_supported_ones() -> None:
    """`completion` refuses an unknown shell and lists the shells that it supports."""
    done = bulkupdate("completion", "tcsh")
    assert done.returncode == 2
    assert "'bash', 'zsh', 'fish'" in done.stderr
