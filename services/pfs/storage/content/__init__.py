"""Packs, trees and layers in the object store, and their rows."""
