"""What PFS does by itself, without being asked."""
