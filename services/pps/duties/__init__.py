"""What goes on between calls: intents are finished, worker groups are kept as wanted."""
