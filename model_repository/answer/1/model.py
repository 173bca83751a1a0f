"""Second step of the ensemble ``turn``: text and sound."""

from stream_omni.assets import Assets
from stream_omni.serving.batch_drivers import AnswerDriver
from stream_omni.serving.edge import artifacts_of, parameter
from stream_omni.serving.front_door import FrontDoor
from stream_omni.serving.guest_book import GuestBook
from stream_omni.serving.metrics import Unrecorded
from stream_omni.serving.stage_secret import StageSecret


class TritonPythonModel:
    def initialize(self, args):
        turn_timeout_s = parameter(args, "turn_timeout_s")
        timeouts_s = parameter(args, "stage_timeout_s"), turn_timeout_s
        driver = AnswerDriver(Assets.load(artifacts_of(args)), *timeouts_s, StageSecret.own())
        self._door = FrontDoor(
            driver,
            Unrecorded(),
            parameter(args, "capacity"),
            turn_timeout_s,
            name="answer",
            is_later_step=True,
            book=GuestBook.of_environment("answer"),
        )

    def execute(self, requests):
        for request in requests:
            self._door.accept(request)

    def finalize(self):
        self._door.close()
