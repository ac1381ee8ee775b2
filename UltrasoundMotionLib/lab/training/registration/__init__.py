"""Training of registration networks: batches of pairs with labels, augmentation on the device, objectives, and the
loop.
"""
