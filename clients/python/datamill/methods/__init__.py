"""What a client can ask for, one class per kind of thing; `datamill.Client` adds them up."""
