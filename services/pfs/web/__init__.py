"""Files over plain HTTP: addresses that a browser, curl and any program can read."""
