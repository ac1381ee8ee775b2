"""Wrappers that add a behaviour to any online tracker."""
