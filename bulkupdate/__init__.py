"""Bulk edits of lemlist tasks: checked first, paced to the limit, every row accounted for."""

from bulkupdate._version import __version__

__all__ = ["__version__"]
