"""transaction_v2.API, requests that join a transaction by their header, and the steps of other services."""
