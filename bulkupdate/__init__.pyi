from ._version import __version__ as __version__
from .engine.settings import RetryPolicy as RetryPolicy
from .engine.stream import update_tasks as update_tasks
from .errors import BadListError as BadListError
from .errors import BadRequestError as BadRequestError
from .errors import BadResponseError as BadResponseError
from .errors import BlockedError as BlockedError
from .errors import BulkUpdateError as BulkUpdateError
from .errors import CertificateError as CertificateError
from .errors import ConfigError as ConfigError
from .errors import ConnectError as ConnectError
from .errors import ConnectionLostError as ConnectionLostError
from .errors import DeclinedError as DeclinedError
from .errors import ForbiddenError as ForbiddenError
from .errors import InputError as InputError
from .errors import InvalidUpdateError as InvalidUpdateError
from .errors import JournalError as JournalError
from .errors import KeyRefusedError as KeyRefusedError
from .errors import NoPermitError as NoPermitError
from .errors import NotFoundError as NotFoundError
from .errors import PaymentRequiredError as PaymentRequiredError
from .errors import Problem as Problem
from .errors import ProxyRefusedError as ProxyRefusedError
from .errors import RateLimitedError as RateLimitedError
from .errors import RedirectError as RedirectError
from .errors import RefusedError as RefusedError
from .errors import RequestTimeoutError as RequestTimeoutError
from .errors import RunDirectoryError as RunDirectoryError
from .errors import RunInUseError as RunInUseError
from .errors import RunStoppedError as RunStoppedError
from .errors import ServerError as ServerError
from .errors import TaskError as TaskError
from .errors import TlsVersionError as TlsVersionError
from .errors import UnauthorizedError as UnauthorizedError
from .errors import WaitTooLongError as WaitTooLongError
from .journal.directory import Mode as Mode
from .journal.past import End as End
from .journal.past import PastRun as PastRun
from .journal.past import Unread as Unread
from .journal.past import past_runs as past_runs
from .journal.removal import Removed as Removed
from .journal.removal import remove_runs as remove_runs
from .journal.summary import Summary as Summary
from .lemlist.accounts import Account as Account
from .lemlist.accounts import Accounts as Accounts
from .lemlist.endpoint import ApiKey as ApiKey
from .lemlist.endpoint import Endpoint as Endpoint
from .lemlist.rate import RateLimit as RateLimit
from .lemlist.tasks import TaskClient as TaskClient
from .models import UNSET as UNSET
from .models import Outcome as Outcome
from .models import Reason as Reason
from .models import Result as Result
from .models import State as State
from .models import Task as Task
from .models import TaskUpdate as TaskUpdate
from .plan import Preview as Preview
from .plan import Selection as Selection
from .reader.options import Format as Format
from .reader.options import ReadOptions as ReadOptions
from .report import write_nights as write_nights
from .report import write_report as write_report
from .session.export import Exported as Exported
from .session.export import export_tasks as export_tasks
from .session.observer import Observer as Observer
from .session.overwritten import Obstacle as Obstacle
from .session.plan import plan_edits as plan_edits
from .session.planrecord import Change as Change
from .session.planrecord import Plan as Plan
from .session.progress import Progress as Progress
from .session.run import run as run
from .session.settings import ChangeLimit as ChangeLimit
from .session.settings import FailureLimit as FailureLimit
from .session.settings import RunConfig as RunConfig
from .session.undo import Undone as Undone
from .session.undo import undo_run as undo_run
from .stop import Stop as Stop

__all__ = [
    "UNSET",
    "Account",
    "Accounts",
    "ApiKey",
    "BadListError",
    "BadRequestError",
    "BadResponseError",
    "BlockedError",
    "BulkUpdateError",
    "CertificateError",
    "Change",
    "ChangeLimit",
    "ConfigError",
    "ConnectError",
    "ConnectionLostError",
    "DeclinedError",
    "End",
    "Endpoint",
    "Exported",
    "FailureLimit",
    "ForbiddenError",
    "Format",
    "InputError",
    "InvalidUpdateError",
    "JournalError",
    "KeyRefusedError",
    "Mode",
    "NoPermitError",
    "NotFoundError",
    "Observer",
    "Obstacle",
    "Outcome",
    "PastRun",
    "PaymentRequiredError",
    "Plan",
    "Preview",
    "Problem",
    "Progress",
    "ProxyRefusedError",
    "RateLimit",
    "RateLimitedError",
    "ReadOptions",
    "Reason",
    "RedirectError",
    "RefusedError",
    "Removed",
    "RequestTimeoutError",
    "Result",
    "RetryPolicy",
    "RunConfig",
    "RunDirectoryError",
    "RunInUseError",
    "RunStoppedError",
    "Selection",
    "ServerError",
    "State",
    "Stop",
    "Summary",
    "Task",
    "TaskClient",
    "TaskError",
    "TaskUpdate",
    "TlsVersionError",
    "UnauthorizedError",
    "Undone",
    "Unread",
    "WaitTooLongError",
    "__version__",
    "export_tasks",
    "past_runs",
    "plan_edits",
    "remove_runs",
    "run",
    "undo_run",
    "update_tasks",
    "write_nights",
    "write_report",
]
