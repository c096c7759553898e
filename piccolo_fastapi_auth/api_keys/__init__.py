"""Keys for programs: made by a person, never stronger than that person."""
