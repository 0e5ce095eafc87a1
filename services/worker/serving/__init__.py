"""gRPC for whoever is on this machine, small and quick enough to be asked for every datum."""
