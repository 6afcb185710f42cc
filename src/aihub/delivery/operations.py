"""What is done before the transaction that rolls back, because it takes long and must not hold up the others."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from aihub.delivery import approvals
from aihub.delivery.policy import check_environment
from aihub.errors import ArtifactError, ConflictError, InputError, NotFoundError
from aihub.registry.promotion import check_target
from aihub.registry.queries import Queries
from aihub.store.engine import read

if TYPE_CHECKING:
    from collections.abc import Callable

    from aihub.delivery.orders import RollbackOrder
    from aihub.registry.registry import Registry

MAX_KNOWN = 4096


@dataclass(frozen=True)
class LoadCheck:
    """Tries out in a child process whether an artefact loads, and remembers those that do.

    Parameters
    ----------
    is_warm
        Says of a digest that it is loaded already, such as by the serving pool of this process.
    """

    is_warm: Callable[[str], bool] = lambda _: False
    _known: dict[str, None] = field(default_factory=dict, repr=False)

    def check(self, registry: Registry, digest: str) -> None:
        """Refuse an artefact that does not load.

        Raises
        ------
        ArtifactError
            It is missing, damaged, or its model ends the process that reads it.
        """
        from aihub.registry.tryout import try_artifact

        if digest in self._known or self.is_warm(digest):
            return
        try_artifact(registry.artifacts.path(digest))
        while len(self._known) >= MAX_KNOWN:
            self._known.pop(next(iter(self._known)), None)
        self._known[digest] = None


def bring(registry: Registry, model: str, reference: str | int | None) -> None:
    """Let a version's artefact lie on this machine, so that the transaction that deploys it has nothing to fetch.

    Does nothing where no such version is or has no artefact: the transaction says that in its own words.

    Raises
    ------
    UnavailableError
        The bucket of the artefacts does not answer.
    """
    if reference is None or registry.artifacts.is_shared_folder:
        return
    with suppress(NotFoundError, InputError, ArtifactError):
        registry.artifacts.path(registry.version(model, reference).digest)


def bring_approved(registry: Registry, uid: str) -> None:
    """As `bring`, for the version that somebody is about to approve."""
    if registry.artifacts.is_shared_folder:
        return
    try:
        with read(registry.engine, tenant=registry.tenant) as connection:
            approval = approvals.get(connection, uid, tenant=registry.tenant)
    except NotFoundError:
        return
    bring(registry, approval.model, approval.version)


def pinned(registry: Registry, order: RollbackOrder, *, loads: LoadCheck | None = None) -> RollbackOrder:
    """Return the order with its target named and the champion that it was decided on, once the target was seen to load.

    An order that was carried out before under the same key, or that the transaction will refuse, comes back as it is.

    Raises
    ------
    InputError
        There is no such environment.
    ArtifactError
        The target does not load.
    """
    check_environment(order.environment)
    with read(registry.engine, tenant=registry.tenant) as connection:
        known = Queries(connection, registry.tenant)
        if known.deployment_by_key(order.model, order.key) is not None:
            return order
        champion = known.serving(order.model, order.environment)
        try:
            target = known.target(order.model, order.target, order.environment, champion)
            history = known.walk(order.model, order.environment)
            check_target(target, order.in_registry(target.created_at), history, champion)
        except (NotFoundError, ConflictError):
            return order
    (loads or LoadCheck()).check(registry, target.digest)
    sequence = champion.sequence if champion else 0
    expected = sequence if order.expected_sequence is None else order.expected_sequence
    return replace(order, target=target.number, expected_sequence=expected)
