"""What a run of a given size takes on a given cluster, before it is started: from measured rates, and assumed ones."""

from peace.planning.cost import Cluster, Plan, Stage, plan, usual_network
from peace.planning.rates import Rate

__all__ = ["Cluster", "Plan", "Rate", "Stage", "plan", "usual_network"]
