"""Figures of a run as Vega-Lite: what is drawn (a module for each figure) and how (`vega`, `theme`)."""
