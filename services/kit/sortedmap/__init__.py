"""A persistent sorted map: key → row, in content-addressed ranges under a canonical root id.

rows.py: the values (Row, Removed, Root, Place, EMPTY). packs.py: the ports (RangeSource, PackSink, Reader).
tree.py: build, get, scan, ranges. change.py: apply. compare.py: diff, totals, range_digest.
"""
