"""Second step of the ensemble ``turn``: text and speech units."""

from stream_omni.assets import Assets
from stream_omni.serving.batch_drivers import AnswerDriver
from stream_omni.serving.edge import artifacts_of, parameter
from stream_omni.serving.front_door import FrontDoor
from stream_omni.serving.metrics import Unrecorded


class TritonPythonModel:
    def initialize(self, args):
        driver = AnswerDriver(Assets.load(artifacts_of(args)), parameter(args, "stage_timeout_s"))
        capacity, turn_timeout_s = parameter(args, "capacity"), parameter(args, "turn_timeout_s")
        self._door = FrontDoor(driver, Unrecorded(), capacity, turn_timeout_s, is_later_step=True)

    def execute(self, requests):
        for request in requests:
            self._door.accept(request)

    def finalize(self):
        self._door.close()
