"""The client of datamill: generated stubs in `datamill.wire`, a thin client on top of them."""
