"""What earlier sessions of a run have written: its images and its log, in the order of time."""

from collections.abc import Iterator, Mapping
from datetime import datetime

from bulkupdate.journal import Image, RunFiles, in_order, read_images, read_journal
from bulkupdate.lemlist.values import left_values
from bulkupdate.models import Outcome, Result
from bulkupdate.plan import LiveTasks, Written, perhaps_trimmed
from bulkupdate.stop import Stop


def recall(files: RunFiles, lives: Mapping[str, LiveTasks], stop: Stop) -> None:
    """Note what earlier sessions of a run have written to its tasks.

    Args:
        files: the files of the run.
        lives: account → what is told of each write to its tasks; "" in a run with one key.
        stop: ends a long recall.

    Raises:
        RunStoppedError: the stop was set.
        JournalError: a file of the run can't be read.
    """
    #: Rows whose request began and has no outcome yet → the image, and what had been written to
    #: their tasks.
    begun: dict[int, tuple[Image, Written]] = {}
    for one in in_order(read_images(files.images), _sent(files)):
        stop.check()
        if (live := lives.get(one.account or "")) is None:
            continue
        if isinstance(one, Image):
            begun[one.row] = one, live.find(one.id).written
            live.wrote(one.id, one.values, one.sent)
            continue
        _, known = begun.pop(one.row, (None, None))
        if one.outcome is Outcome.UPDATED:
            left = left_values(one.sent or {}, one.task or {})
            live.wrote(one.id, {}, left, datetime.fromisoformat(one.at).timestamp())
        elif one.outcome is Outcome.UNCONFIRMED:
            live.wrote(one.id, {}, one.sent or {})
            live.keep(one.id, perhaps_trimmed(live.find(one.id).written, one.sent or {}))
        elif one.outcome is Outcome.FAILED and known is not None:
            # Nothing came of this request, and perhaps something of an earlier one.
            live.keep(one.id, known)
    for image, _ in begun.values():
        live = lives[image.account or ""]
        live.keep(image.id, perhaps_trimmed(live.find(image.id).written, image.sent))


def _sent(files: RunFiles) -> Iterator[Result]:
    """The results of all requests of a run, with those of rows that the input no longer has.

    A log that was renumbered begins with lines of the one before it.
    """
    last = newest = ""
    for path in (*files.earlier_results(), files.results):
        for _, result in read_journal(path) if path.exists() else ():
            newest = max(newest, result.at)
            if result.sent and result.at > last:
                yield result
        last = newest
