def change_text(r): return str([ (round(c.seconds*1000,1), c.lost, c.worst_ms) for c in r.changes]) + r.changed
def text(r): return ""
