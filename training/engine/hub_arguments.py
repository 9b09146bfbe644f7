"""Options of training commands that push to the Hub while they train."""

from dataclasses import dataclass, field

from semidepth.training.engine.publishing import Target


@dataclass
class HubArguments:
    """Where a run pushes its model to, at every checkpoint and at its end."""

    push_to_hub: str | None = field(
        default=None,
        metadata={"help": "org/name of a model on the Hub: pushed to at checkpoints, in the background. Default: no."},
    )
    hub_private: bool = field(default=True, metadata={"help": "Whether a new repository is private."})
    hub_branch: str | None = field(default=None, metadata={"help": "Branch to push to. Default: main."})
    hub_wait_s: float = field(
        default=600.0, metadata={"help": "Seconds that a finished training waits at most for its last push."}
    )

    def hub_target(self) -> Target | None:
        """Where to push, None for nowhere.

        Raises:
            ValueError: for a name that cannot be.
        """
        if self.push_to_hub is None:
            return None
        target = Target(self.push_to_hub, private=self.hub_private, branch=self.hub_branch)
        target.validate("push_to_hub")
        return target
