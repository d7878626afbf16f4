"""Who is spoken for next: requests take turns, one segment each, as long as they have credit. Sans-I/O."""

from collections import OrderedDict, deque
from dataclasses import dataclass

from media.resampler import Resampler
from media.speech.protocol import CREDIT_SECONDS, Cancel, Credit, Order, Synthesise
from media.speech.text import segments
from media.speech.voice import Voice


@dataclass(slots=True, eq=False)
class Job:
    """A request that is not finished."""

    request: int
    voice: Voice
    sample_rate: int
    segments: deque[str]
    """What is still to be spoken."""
    credit: int
    """Samples that may be sent; a segment that was begun may overdraw it."""
    resampler: Resampler | None = None
    """Its resampler, once there was something to resample."""


class Schedule:
    """All jobs, in the order of their turns."""

    def __init__(self) -> None:
        self._jobs: OrderedDict[int, Job] = OrderedDict()

    def take(self, order: Order) -> None:
        """Follow an order; one about a request that is over does nothing."""
        match order:
            case Synthesise(request, text, voice, sample_rate):
                credit = CREDIT_SECONDS * sample_rate
                self._jobs[request] = Job(request, voice, sample_rate, deque(segments(text)), credit)
            case Cancel(request):
                self._jobs.pop(request, None)
            case Credit(request, samples):
                if request in self._jobs:
                    self._jobs[request].credit += samples

    def next(self) -> Job | None:
        """The job whose turn it is, or None; its next turn comes after all others."""
        for job in self._jobs.values():
            if job.credit > 0:
                self._jobs.move_to_end(job.request)
                return job
        return None

    def holds(self, job: Job) -> bool:
        """Whether the job is still wanted."""
        return self._jobs.get(job.request) is job

    def finish(self, job: Job) -> None:
        """The job is done, or has failed."""
        if self.holds(job):
            del self._jobs[job.request]
