"""Views of one recorded run: HTML timeline, terminal view, causal explanation, ShiViz log (front door).

All take the rows of a recording (`ferrite.sim.recording`) and raise RecordingInvalid for rows that are none.
"""

from ferrite.sim.report.explain import Link, explain, explanation_text
from ferrite.sim.report.shiviz import shiviz
from ferrite.sim.report.terminal import terminal_view
from ferrite.sim.report.timeline import timeline_html

__all__ = ["Link", "explain", "explanation_text", "shiviz", "terminal_view", "timeline_html"]
