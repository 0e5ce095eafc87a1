"""A persistent sorted map: key → row, in content-addressed ranges under a canonical root id.

Callers use rows.py: the values Row, Removed, Root, Place, EMPTY; packs.py: the ports RangeSource and PackSink, and
Reader, which keeps decoded ranges; tree.py: build, get, get_many, scan, ranges; loading.py: Loading, joined; change.py:
apply; compare.py: diff, summary.
A key is any bytes; a row is (key, kind < 255, size, digest of 32 bytes, place or None).

    sink = PackSink(store)                          # store(name, data) is called with each index pack
    root = build(sorted_rows, sink); sink.flush()   # nothing can be read before the flush
    reader = Reader(source)                         # source.read(place) gives stored bytes
    root = apply(reader, root, sorted_edits, sink); sink.flush()

Inside: encoding/ has ranges and nodes in memory, by columns (chunks.py, places.py), compared by rows (rowdiff.py), and
as bytes with ids (codec.py, columns.py); chunking.py where they are cut; cursor.py the way among them; ahead.py what is
read side by side over a source that is far away; loading.py maps of runs, and maps joined.
"""
