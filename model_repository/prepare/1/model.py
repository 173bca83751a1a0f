"""First step of the ensemble ``turn``: pictures, prompt and the reading of it."""

from stream_omni.assets import Assets
from stream_omni.serving.batch_drivers import PrepareDriver
from stream_omni.serving.edge import artifacts_of, parameter
from stream_omni.serving.front_door import FrontDoor
from stream_omni.serving.guest_book import GuestBook
from stream_omni.serving.limits import Limits
from stream_omni.serving.metrics import Unrecorded
from stream_omni.serving.stage_secret import StageSecret


class TritonPythonModel:
    def initialize(self, args):
        assets, limits = Assets.load(artifacts_of(args)), Limits.from_mapping(parameter(args, "limits"))
        driver = PrepareDriver(assets, limits, parameter(args, "stage_timeout_s"), StageSecret.own())
        capacity, turn_timeout_s = parameter(args, "capacity"), parameter(args, "turn_timeout_s")
        self._door = FrontDoor(
            driver,
            Unrecorded(),
            capacity,
            turn_timeout_s,
            name="prepare",
            max_request_bytes=limits.max_request_bytes,
            book=GuestBook.of_environment("prepare"),
        )

    def execute(self, requests):
        for request in requests:
            self._door.accept(request)

    def finalize(self):
        self._door.close()
