"""What a process keeps in its database: transactions, schema, news to send, leases."""
