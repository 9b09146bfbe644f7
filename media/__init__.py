"""Depth as pictures, clips, point clouds and meshes."""
