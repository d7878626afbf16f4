"""What control is asked for when somebody is called."""

from typing import TYPE_CHECKING, Any

from control.api import models
from control.rtpengine.media import Endpoint
from media.api.options import SipOption

if TYPE_CHECKING:
    from media.commands.refer import Refer
    from media.session.session import Session


def target_call(session: "Session", command: "Refer", *, relayed: bool) -> models.Refer | models.Invite:
    """The call to the target: in the caller's own call where rtpengine relays the two, else one of its own."""
    options, engine = command.options, session.services.engine
    sip = signalling(options.sip)
    caller = command.caller or session.call.caller or None
    if relayed:
        return models.Refer(
            leg=session.leg or "",
            session=session.id,
            callee=command.callee,
            caller=caller,
            **sip,
            timeout=options.timeout,
            early_media=options.moh is None,
        )
    return models.Invite(
        session=session.id,
        callee=command.callee,
        caller=caller,
        endpoint=Endpoint(engine.address, engine.port),
        **sip,
        timeout=options.timeout,
    )


def signalling(option: SipOption | None) -> dict[str, Any]:
    """The fields of a request for a call that `option` decides: who pays, and what headers the INVITE has."""
    if option is None:
        return {}
    fields = option.model_dump(include={"username", "password", "realm"})
    return fields | {"headers": option.headers or {}}
