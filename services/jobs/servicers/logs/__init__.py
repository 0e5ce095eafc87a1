"""Log lines on the wire: as workers send them, and as readers ask for them."""
