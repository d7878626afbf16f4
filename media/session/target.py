"""What control is asked for when the caller is transferred."""

from typing import TYPE_CHECKING

from control.api import models
from control.rtpengine.media import Endpoint
from media.api.options import SipOption

if TYPE_CHECKING:
    from media.commands.refer import Refer
    from media.session.session import Session


def target_call(session: "Session", command: "Refer", *, relayed: bool) -> models.Refer | models.Invite:
    """The call to the target: in the caller's own call where rtpengine relays the two, else one of its own."""
    options, engine = command.options, session.services.engine
    sip = options.sip or SipOption()
    caller = command.caller or session.call.caller or None
    if relayed:
        return models.Refer(
            leg=session.leg or "",
            session=session.id,
            callee=command.callee,
            caller=caller,
            username=sip.username,
            password=sip.password,
            realm=sip.realm,
            headers=sip.headers or {},
            timeout=options.timeout,
            early_media=options.moh is None,
        )
    return models.Invite(
        session=session.id,
        callee=command.callee,
        caller=caller,
        endpoint=Endpoint(engine.address, engine.port),
        username=sip.username,
        password=sip.password,
        realm=sip.realm,
        headers=sip.headers or {},
        timeout=options.timeout,
    )
