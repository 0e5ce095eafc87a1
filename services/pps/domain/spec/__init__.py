"""What a pipeline's spec may say: its fields, its inputs, and what is filled in."""
