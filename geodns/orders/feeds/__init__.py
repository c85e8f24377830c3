"""Official lists: one short module a format, rows out; take.py makes names and networks of them."""
