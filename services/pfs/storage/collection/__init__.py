"""What garbage collection keeps: sessions, graves, moves."""
