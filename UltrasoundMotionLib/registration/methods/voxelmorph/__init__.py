"""VoxelMorph."""
