"""Services of datamill; each is run as `python -m services.<name>`."""
