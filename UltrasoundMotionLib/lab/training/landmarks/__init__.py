"""Training of landmark trackers: windows around landmarks of phantoms, CLUST-style folders and real frames, what is
learnt, and the loop.
"""
