"""Branches that follow other branches: giving them triggers, and firing these."""
