"""The runner that parks events and the sender that delivers them, as one run of a tenure."""

from backplane.settings import Settings
from backplane.streams import Partition
from consumers.fanout import Fact
from consumers.runner import End, Runner
from consumers.tenure import Tenure
from consumers.webhooks.sender import Sender
from consumers.webhooks.stage import WebhookStage


class Delivering(Runner[Fact]):
    """A runner with a sender beside it."""

    def __init__(
        self, partition: Partition, tenure: Tenure, stage: WebhookStage, settings: Settings, sender: Sender
    ) -> None:
        super().__init__(partition, tenure, stage, settings)
        self._sender = sender

    async def run(self) -> End:
        """Work until the tenure is over; the lines end with it."""
        async with self._sender:
            return await super().run()
