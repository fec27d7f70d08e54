"""The end of a session: close all files and write the summary, even after an error."""

import asyncio
from collections.abc import Callable

from bulkupdate.codec import replaced
from bulkupdate.errors import JournalError, RunStoppedError
from bulkupdate.journal import Recorder, Summary, count_changes
from bulkupdate.models import Level, Reason
from bulkupdate.session.ending import summary_of
from bulkupdate.session.prepare import Prepared, Session
from bulkupdate.session.progress import Progress
from bulkupdate.session.threads import in_thread
from bulkupdate.session.writer import Writer


async def close(
    session: Session,
    prepared: Prepared,
    progress: Progress,
    recorder: Recorder,
    writer: Writer,
    *,
    is_complete: bool,
    name_of: Callable[[str], str] = str,
) -> Summary:
    """Close the recorder, and write the summary: first without what was changed, then with it.

    Args:
        session: the session that ends.
        prepared: the facts from before the session.
        progress: the progress of the session.
        recorder: holds the result files.
        writer: reports files that can't be written.
        is_complete: whether nothing is left to do.
        name_of: the name of a user for people, by id; the id where none is known.

    Returns:
        The summary. It is on disk unless the disk refused it.
    """
    cancelled: asyncio.CancelledError | None = None
    before = len(recorder.notes)
    try:
        await in_thread(session.stop, recorder.close)
    except JournalError as error:
        writer.stop_for(error)
    except RunStoppedError:
        pass  # The failed file is out of date: the next session rebuilds it.
    except asyncio.CancelledError as error:
        session.stop.set("cancelled", Reason.CANCELLED)
        cancelled = error
    for note in recorder.notes[before:]:
        session.observer.noted(note)

    def end() -> Summary:
        first = replaced(
            prepared.first, failed_sha256=recorder.failed_sha256, problems=recorder.causes
        )
        return summary_of(
            first,
            progress,
            session.stop,
            is_complete=is_complete,
            is_strict=session.config.strict,
        )

    def write(summary: Summary) -> Summary:
        try:
            session.directory.write_summary(summary)
        except JournalError as error:
            writer.stop_for(error)
            return end()
        return summary

    summary = write(end())
    if cancelled is not None:
        raise cancelled
    # The count may take a while. If it is cut short, how the run ended is on the disk.
    if summary.has_sent and (counted := await _counted(session, summary, name_of)):
        summary = write(counted)
    return summary


async def _counted(
    session: Session, summary: Summary, name_of: Callable[[str], str]
) -> Summary | None:
    """The summary with what the run has changed, over all its sessions; None if this is unknown."""
    files, stop = session.directory.files, session.stop
    try:
        found = await in_thread(stop, count_changes, files, lambda: stop.check(Level.ABORT))
    except RunStoppedError:
        return None  # The next session counts.
    except JournalError as error:
        session.observer.noted(f"what was changed can't be counted: {error}")
        return None
    people = {}
    for user in (*found.owners, *found.givers):
        name = name_of(user)
        if name == user:
            # An earlier session may have read a team that can't be read now.
            name = summary.people.get(user, user)
        if name != user:
            people[user] = name
    return replaced(
        summary,
        changed=found.fields,
        changed_tasks=found.tasks,
        owners=found.owners,
        givers=dict(found.givers),
        people=people,
    )
