"""Files: writing them into layers, reading and comparing trees."""
