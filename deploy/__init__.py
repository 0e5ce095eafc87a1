"""How datamill is run: the local instance, the gateway, images."""
