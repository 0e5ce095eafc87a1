"""From the layers of a closed commit to its checked tree."""
