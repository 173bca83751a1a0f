"""The front door: what clients talk to. One request is one turn, answered by a stream of typed events."""

import os

from stream_omni.assets import Assets
from stream_omni.chunk_schedule import ChunkSchedule
from stream_omni.runtime.engine_manifest import check_placed_plans
from stream_omni.serving.dead_engines import DeadEngines
from stream_omni.serving.edge import artifacts_of, parameter
from stream_omni.serving.front_door import FrontDoor
from stream_omni.serving.limits import Limits
from stream_omni.serving.metrics import ENGINES, FRONT_DOOR
from stream_omni.serving.stage_processes import StageProcesses
from stream_omni.serving.triton_metrics import TritonRecorder
from stream_omni.serving.turn_driver import TurnDriver


class TritonPythonModel:
    def initialize(self, args):
        check_placed_plans(artifacts_of(args))  # of stages that have no process to do it
        limits = Limits.from_mapping(parameter(args, "info")["limits"])
        driver = TurnDriver(
            Assets.load(artifacts_of(args)),
            limits,
            ChunkSchedule(**parameter(args, "chunks")),
            parameter(args, "stage_timeout_s"),
        )
        recorder = TritonRecorder(FRONT_DOOR, ENGINES)
        self._door = FrontDoor(
            driver,
            recorder,
            capacity=parameter(args, "capacity"),
            turn_timeout_s=parameter(args, "turn_timeout_s"),
            waiting=parameter(args, "waiting"),
            wait_s=parameter(args, "wait_s"),
            max_request_bytes=limits.max_request_bytes,
        )
        DeadEngines(StageProcesses(os.getppid()), recorder).watch()

    def execute(self, requests):
        for request in requests:
            self._door.accept(request)

    def finalize(self):
        self._door.close()
