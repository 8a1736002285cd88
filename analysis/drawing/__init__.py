"""How figures look, whatever they show: colours, names of runs, scales, curves, panels on a page.

To be taken: `style`, `names`, `scales`, `curves`, `page`.
"""
