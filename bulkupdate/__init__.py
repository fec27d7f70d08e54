"""Bulk edits of lemlist tasks: checked first, paced to the limit, every row accounted for.

A program can do what the command line does::

    summary = await bulkupdate.run(RunConfig(input="edits.csv", endpoint=endpoint))

    async for result in bulkupdate.update_tasks(updates, endpoint):
        ...

    async with TaskClient(endpoint) as client:
        task = await client.update(TaskUpdate(id="opp_…", done=True))

`__init__.pyi` beside this file lists the public names and the module of each. A name is imported
when it is first used: `bulkupdate --help` needs no HTTP library.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
