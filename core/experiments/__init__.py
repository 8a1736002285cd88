"""What a published claim is, how it is measured, and how a verdict on it is computed. Needs numpy only.

To be taken: `experiment.Experiment`, `claim`, `intervals`, `panel`, `run_log.RunLog`.
"""
