"""Following by a short and a long memory of grey levels: what point trackers and landmark trackers stand on."""
