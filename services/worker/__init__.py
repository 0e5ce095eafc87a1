"""The shim beside the user's code: lays out inputs, runs it, collects outputs, streams logs."""
