"""Placement groups of trainings whose driver is gone: Ray keeps them, and their CPUs, as long as the job lives.

A trial that the scheduler stops, or whose process dies, takes Ray Train's controller with it, and the controller's
placement group stays. Ray Train's own cleaner asks the dashboard about the controller: without one it does nothing.
"""

from __future__ import annotations

import time
from typing import Any

import ray
from ray.util.placement_group import PlacementGroup, remove_placement_group

SECONDS_BETWEEN_LOOKS = 1.0


class Orphans:
    """Removes, now and then, what dead controllers of this job have left reserved."""

    def __init__(self) -> None:
        self._looked = 0.0

    def sweep(self) -> int:
        """Look, unless that was a moment ago; gives how many groups were removed."""
        if time.monotonic() - self._looked < SECONDS_BETWEEN_LOOKS:
            return 0
        self._looked = time.monotonic()
        orphans = orphaned_groups()
        for group in orphans:
            remove_placement_group(group)
        return len(orphans)


def orphaned_groups() -> list[PlacementGroup]:
    """The placement groups that a dead actor of this job has made.

    Ray's public table does not name the maker; what it is made from does.
    """
    from ray._private.state import state
    from ray.core.generated import gcs_pb2

    messages: Any = gcs_pb2
    job = bytes.fromhex(ray.get_runtime_context().get_job_id())
    gone = messages.PlacementGroupTableData.PlacementGroupState.Value("REMOVED")
    found = []
    for row in state._connect_and_get_accessor().get_placement_group_table():
        data = messages.PlacementGroupTableData.FromString(row)
        by_actor = data.creator_actor_id.strip(b"\xff")  # no actor, but the driver: all ones
        if data.creator_job_id == job and by_actor and data.creator_actor_dead and data.state != gone:
            found.append(PlacementGroup(ray.PlacementGroupID(data.placement_group_id)))
    return found
