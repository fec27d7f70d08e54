"""The end of a session: close all files and write the summary, even after an error."""

import asyncio

from bulkupdate.codec import replaced
from bulkupdate.errors import JournalError, RunStoppedError
from bulkupdate.journal import Recorder, Summary
from bulkupdate.models import Reason
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
) -> Summary:
    """Close the recorder, and write the summary.

    Args:
        session: the session that ends.
        prepared: the facts from before the session.
        progress: the progress of the session.
        recorder: holds the result files.
        writer: reports files that can't be written.
        is_complete: whether nothing is left to do.

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

    summary = end()
    try:
        session.directory.write_summary(summary)
    except JournalError as error:
        writer.stop_for(error)
        summary = end()
    if cancelled is not None:
        raise cancelled
    return summary
