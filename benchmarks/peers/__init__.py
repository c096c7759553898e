"""The contestants, one small file each: what their own documentation shows, with nothing left out or added."""
