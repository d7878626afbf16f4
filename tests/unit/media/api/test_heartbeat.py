from media.api.heartbeat import Heartbeats


class Heart:
    def __init__(self, lives: int = 1_000) -> None:
        self.turns: list[int] = []
        self.lives = lives

    def beat(self) -> bool:
        self.turns.append(clock[0])
        return len(self.turns) < self.lives


clock = [0]


def turn(wheel: Heartbeats, turns: int) -> None:
    clock[0] = 0
    for _ in range(turns):
        clock[0] += 1
        wheel.turn()


def test_each_beats_in_its_own_period_and_the_first_is_never_short() -> None:
    wheel, often, seldom = Heartbeats(), Heart(), Heart()
    wheel.add(often, 1)
    wheel.add(seldom, 5)
    turn(wheel, 12)
    assert often.turns == list(range(2, 13))
    assert seldom.turns == [6, 11]
    assert len(wheel) == 2


def test_what_is_dead_or_removed_beats_no_more_and_leaves_nothing() -> None:
    wheel, dead, removed, other = Heartbeats(), Heart(lives=2), Heart(), Heart()
    for heart in (dead, removed, other):
        wheel.add(heart, 3)
    wheel.remove(removed)
    wheel.remove(removed)
    turn(wheel, 20)
    assert dead.turns == [4, 7]
    assert removed.turns == []
    assert len(wheel) == 1
    wheel.remove(other)
    assert len(wheel) == 0
    assert wheel._due == {}


def test_one_that_is_removed_by_another_of_the_same_turn() -> None:
    wheel, victim = Heartbeats(), Heart()

    class Killer(Heart):
        def beat(self) -> bool:
            wheel.remove(victim)
            return False

    wheel.add(Killer(), 1)
    wheel.add(victim, 1)
    turn(wheel, 5)
    assert victim.turns == []
    assert len(wheel) == 0
