"""The image-quality example: its pictures, scripts, pipeline files and contact sheet."""
