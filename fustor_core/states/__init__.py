"""Every state machine of the core, one table a file.

`ALL` names them. A plugin keeps its own tables in the same form and joins by hook.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fustor_core.machine import Table
from fustor_core.states.fusion_pipeline import FUSION_PIPELINE
from fustor_core.states.leadership import LEADERSHIP
from fustor_core.states.node import NODE
from fustor_core.states.pipeline import PIPELINE
from fustor_core.states.run import RUN
from fustor_core.states.session import SESSION

ALL: Mapping[str, Table[Any]] = {
    table.name: table for table in (PIPELINE, FUSION_PIPELINE, SESSION, LEADERSHIP, NODE, RUN)
}
