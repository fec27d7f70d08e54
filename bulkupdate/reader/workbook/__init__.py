"""Read a sheet of a spreadsheet in a separate process, as rows that stand for what a person sees.

::

    __main__   the process: limits, and what it writes
    xlsx       Office Open XML, transitional and strict
    ods        OpenDocument
    xls        Excel 97 to 2003, by xlrd
    markup     the XML of the first two, as events
    numbers    number formats and dates
    rows       the rows that are written
    naming     the names of cells, for messages

The file may come from anywhere, and a few of its bytes can ask for any amount of memory. So the
process has a memory limit, and only this process dies when it reaches the limit. It imports nothing
else of bulkupdate. One pass sees type, number format and value of each cell: a second look by
another reader could disagree.
"""
