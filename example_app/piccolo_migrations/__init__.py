"""Migrations of the app `reading_list`."""
