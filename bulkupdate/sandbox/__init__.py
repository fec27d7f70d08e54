"""A local imitation of lemlist's tasks API over real HTTP, for trials and tests.

async with Sandbox(SandboxConfig(key="any")) as sandbox:
    ...  # send requests to sandbox.base_url
"""

from bulkupdate.sandbox.accounts import SandboxAccount, sandbox_accounts
from bulkupdate.sandbox.config import (
    AfterLast,
    Bounds,
    Fault,
    Order,
    SandboxConfig,
    Unknown,
    Window,
)
from bulkupdate.sandbox.example import write_accounts
from bulkupdate.sandbox.files import team_for, team_of, teams_for, teams_of
from bulkupdate.sandbox.leads import Lead
from bulkupdate.sandbox.members import Member
from bulkupdate.sandbox.server import Sandbox, url_of
from bulkupdate.sandbox.team import Team, made_up_team

__all__ = [
    "AfterLast",
    "Bounds",
    "Fault",
    "Lead",
    "Member",
    "Order",
    "Sandbox",
    "SandboxAccount",
    "SandboxConfig",
    "Team",
    "Unknown",
    "Window",
    "made_up_team",
    "sandbox_accounts",
    "team_for",
    "team_of",
    "teams_for",
    "teams_of",
    "url_of",
    "write_accounts",
]
