"""The recorder of Luanti, as far as it goes without Luanti: the log, the joining of frames, the scripted player."""

from __future__ import annotations

import json
import threading
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
from clocks import CountedTime

from reverie.demos import record_luanti
from reverie.demos.luanti import engine as engines
from reverie.demos.luanti.engine import Engine, FrameState, NodeEvent
from reverie.demos.luanti.player import BEHAVIOURS, WALKING, Player, minimum_jerk
from reverie.demos.luanti_agent import AgentPlayer, deeds, to_input
from reverie.demos.record_luanti import Plan, join, write
from reverie.env.spaces import make_codec
from reverie.simulator import Action, Clip
from reverie.simulator.clip_check import examine
from reverie.simulator.errors import ClipError


def state(number: int, yaw: float = 0.0, held: str = "", slot: int = 0, seconds: float = 0.05) -> FrameState:
    return FrameState(
        number, seconds, (1.0, 2.0, 0.2 * number), yaw % 360, 0.15 * number, frozenset(held.split()), slot
    )


def test_the_action_of_a_line_is_what_the_next_frame_shows(tmp_path: Path) -> None:
    shown = [
        state(1, 359.85), state(2, 1.5, "w dig"), state(3, 0.0, "left.control place", slot=4),
        state(5, 0.0, "dig"), state(6, seconds=0.12),
    ]  # fmt: skip
    every = {each.number: each for each in [*shown, state(4)]}
    events = [
        NodeEvent("place", (1, 2, 3), "default:stone", 5), NodeEvent("dig", (0, 0, 0), "default:tree", 6),
        NodeEvent("place", (9, 9, 9), "default:dirt", 1),
    ]  # fmt: skip
    lines = join(shown, every, events)
    assert [line["mouse"]["dx"] for line in lines] == [11, -10, 0, 0]
    assert [line["mouse"]["dy"] for line in lines] == [1, 1, 2, 1]
    assert [line["mouse"]["buttons"] for line in lines] == [[0], [1], [0], []]
    assert lines[1]["keyboard"]["keys"] == ["key.keyboard.left.control", "key.keyboard.5"]
    assert [line["hotbar"] for line in lines] == [0, 0, 4, 0]
    assert [line.get("dt") for line in lines] == [None, None, 100, 120]
    assert [[event["type"] for event in line["node_events"]] for line in lines] == [[], ["place"], ["dig"], []]
    pictures = [np.full((192, 320, 3), 20 * k, np.uint8) for k in range(4)]
    write(tmp_path / "luanti-s1-000-0", pictures, lines, (96, 160))
    assert not list(tmp_path.glob("*.part"))
    found = examine(tmp_path / "luanti-s1-000-0")
    assert (found.frames, found.size, found.layout) == (4, (96, 160), "luanti")
    clip = Clip.load(tmp_path / "luanti-s1-000-0")
    assert clip.actions[0].forward and clip.actions[0].attack and clip.actions[0].camera[1] == pytest.approx(1.65)
    assert clip.actions[1].sprint and clip.actions[1].hotbar == 5


def test_the_log_is_read_as_it_grows(tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    engine = Engine.__new__(Engine)
    engine._log, engine._read, engine._rest = log, 0, ""
    engine.frames, engine.newest, engine.events, engine.hotbar = {}, -1, [], []
    engine.follow()
    log.write_text(
        "12:00: ACTION[Server]: REVERIE ready default:stone,default:dirt\nnoise\n"
        "12:00: ACTION[Main]: REVERIE frame 7 0.0500 1.000 2.500 -3.000 84.0000 -1.5000 100000010 2\n12:00: REVERIE di"
    )
    engine.follow()
    assert engine.hotbar == ["default:stone", "default:dirt"] and engine.newest == 7 and not engine.events
    frame = engine.frames[7]
    assert frame.yaw == pytest.approx(6) and frame.pitch == 1.5 and frame.held == {"w", "dig"} and frame.slot == 2
    with log.open("a") as file:
        file.write("g 1 -2 3 default:pine_tree\n")
    engine.follow()
    assert engine.events == [NodeEvent("dig", (1, -2, 3), "default:pine_tree", 7)]


def test_a_player_does_a_bit_of_everything_and_frees_itself() -> None:
    player, seen, turned = Player(np.random.default_rng(3)), set(), 0
    for tick in range(9000):
        wanted = player.act(FrameState(tick, 0.05, (0.3 * tick, 8.0, 0.0), 0.0, 12.0, frozenset(), 0))
        seen |= {(key, player._behaviour) for key in wanted.keys} | {("", player._behaviour)}
        turned += abs(wanted.right) > 0
    assert {behaviour for _, behaviour in seen} >= set(BEHAVIOURS)
    assert {"w", "a", "d", "s", "left", "right", "Control_L", "Shift_L"} <= {key for key, _ in seen}
    assert 0.3 < turned / 9000 < 0.95
    stuck = Player(np.random.default_rng(3))
    behaviours = set()
    for tick in range(900):
        stuck.act(FrameState(tick, 0.05, (0.0, 8.0, 0.0), 0.0, 12.0, frozenset(), 0))
        behaviours.add(stuck._behaviour)
    assert "free" in behaviours
    assert minimum_jerk(20, 90.0).sum() == pytest.approx(90)


def test_who_can_walk_walks() -> None:
    """Standing still for a while, to look or to dig, is not being stuck."""
    held: list[frozenset[str]] = []
    for seed in range(10):
        player, place, behaviours = Player(np.random.default_rng(seed)), 0.0, set()
        for tick in range(600):
            held.append(player.act(FrameState(tick, 0.05, (place, 8.0, 0.0), 0.0, 12.0, frozenset(), 0)).keys)
            place += 0.2 * bool(held[-1] & WALKING)
            behaviours.add(player._behaviour)
        assert "free" not in behaviours
    assert np.mean([bool(keys & WALKING) for keys in held]) > 0.45
    assert np.mean(["left" in keys for keys in held]) < 0.2


def test_the_mods_are_part_of_the_package() -> None:
    mods = resources.files("reverie.demos") / "luanti" / "mods"
    for name in ("reverie_client", "reverie_server"):
        assert (mods / name / "init.lua").is_file() and (mods / name / "mod.conf").is_file()


def test_what_cannot_be_recorded_is_told_in_one_line(tmp_path: Path, monkeypatch, capsys) -> None:
    with pytest.raises(ClipError, match="cannot be averaged"):
        record_luanti.record(tmp_path, 1, 10, 1, 1, size=(80, 160))
    monkeypatch.setattr(engines, "COMMANDS", ("no-such-game",))
    with pytest.raises(ClipError, match="apt-get install"):
        Engine(":0", 1, 0, 0.5)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(record_luanti, "STAGGER", 0.0)
    assert record_luanti.main(["--out", str(tmp_path / "x"), "--clips", "1", "--instances", "1"]) == 2
    assert "xvfb" in capsys.readouterr().err


def test_key_names_keep_their_capitals() -> None:
    """The engine does not know `key_lcontrol`, and would take its first letter for the key."""
    text = engines.written(engines.SETTINGS | {"fixed_map_seed": 7})
    assert "keymap_aux1 = KEY_LCONTROL\n" in text and "keymap_sneak = KEY_LSHIFT\n" in text
    assert "vsync = false\n" in text and "fixed_map_seed = 7\n" in text


class FakeScreen:
    """Shows pictures number 0 to `count`, then the last one for ever."""

    def __init__(self, count: int) -> None:
        self.count, self.shown, self.held = count, -1, [{"w"}]

    def grab(self, rows: int) -> tuple[int, np.ndarray]:
        self.shown = min(self.shown + 1, self.count - 1)
        return self.shown, np.zeros((192, 320, 3), np.uint8)

    def hold(self, keys: set[str]) -> None:
        self.held.append(keys)

    def turn(self, right: int, down: int) -> None:
        pass


class FakeEngine:
    """Knows all frames already."""

    def __init__(self) -> None:
        self.frames, self.newest, self.alive = {0: state(0)}, 0, True

    def follow(self) -> None:
        pass


def test_who_plays_before_a_picture_that_stands_still_is_not_left_waiting(monkeypatch) -> None:
    monkeypatch.setattr(record_luanti, "time", CountedTime())  # it is later by what is slept alone
    player, stop = Player(np.random.default_rng(0)), threading.Event()
    screen = FakeScreen(9)
    assert sorted(record_luanti.play(screen, FakeEngine(), player, 8, stop)) == list(range(8))
    assert screen.held[-1] == set()
    with pytest.raises(ClipError, match="nothing new after 5 frames"):
        record_luanti.play(FakeScreen(5), FakeEngine(), player, 8, stop)
    ended = FakeEngine()
    ended.alive = False
    with pytest.raises(ClipError, match="ended after 0 frames"):
        record_luanti.play(FakeScreen(5), ended, player, 8, stop)
    stop.set()
    with pytest.raises(ClipError, match="interrupted"):
        record_luanti.play(FakeScreen(9), FakeEngine(), player, 8, stop)


def test_a_run_goes_on_where_it_stopped(tmp_path: Path, monkeypatch, capsys) -> None:
    """Clips are listed as they are done, one that fails is told and the rest go on, and Ctrl-C is no traceback."""
    monkeypatch.setattr(record_luanti, "STAGGER", 0.0)
    played: list[Plan] = []

    def record_clip(plan: Plan, stop: threading.Event) -> dict:
        played.append(plan)
        if plan.number == failing:
            raise error
        (tmp_path / f"{plan.path.name}.jsonl").write_text("{}")
        return {"file": plan.path.name, "frames": plan.ticks}

    monkeypatch.setattr(record_luanti, "record_clip", record_clip)
    command = ["--out", str(tmp_path), "--clips", "4", "--ticks", "9", "--instances", "1", "--seed", "5"]
    failing, error = 1, ClipError("shows nothing new")
    assert record_luanti.main([*command, "--clips-per-map", "3", "--spread", "70"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out) == {"clips": 3, "frames": 27, "failed": 1} and "luanti-s5-001-0: shows nothing new" in err
    assert [plan.seed for plan in played] == [5, 5, 5, 6] and {plan.spread for plan in played} == {70}
    failing, error = 1, KeyboardInterrupt()
    assert record_luanti.main([*command, "--clips-per-map", "3"]) == 130
    assert "goes on from here" in capsys.readouterr().err
    failing = -1
    assert record_luanti.main([*command, "--clips-per-map", "3"]) == 0
    assert json.loads(capsys.readouterr().out)["clips"] == 1
    listed = [json.loads(line)["file"] for line in (tmp_path / "index.jsonl").read_text().splitlines()]
    assert listed == ["luanti-s5-000-0", "luanti-s5-002-0", "luanti-s6-003-0", "luanti-s5-001-0"]


def test_an_agents_choices_become_keys_and_whole_pixels() -> None:
    owed = np.zeros(2)
    action = Action(forward=True, sprint=True, attack=True, hotbar=4, camera=(0.2, -10.0))
    first = to_input(action, owed)
    assert first.keys == {"w", "Control_L", "left", "4"} and (first.right, first.down) == (-67, 1)
    moves = [to_input(action, owed) for _ in range(29)]
    assert sum(move.right for move in [first, *moves]) == round(-10 / 0.15 * 30)
    assert sum(move.down for move in [first, *moves]) == round(0.2 / 0.15 * 30)
    seen = []
    codec = make_codec("discrete")
    agent = AgentPlayer(
        lambda frames: (seen.append(frames.shape), codec.from_action(Action(forward=True)))[1], codec, 4
    )
    for tick in range(8):
        wanted = agent.act(state(tick), np.zeros((192, 320, 3), np.uint8))
    assert seen == [(1, 96, 160, 3)] * 2 and wanted.keys == {"w"}


def test_deeds_are_counted_from_the_recording(tmp_path: Path) -> None:
    shown = [state(k, held="dig" if k == 3 else "") for k in range(1, 12)]
    lines = join(shown, {each.number: each for each in shown}, [NodeEvent("dig", (0, 0, 0), "default:jungletree", 3)])
    write(tmp_path / "a", [np.zeros((192, 320, 3), np.uint8)] * 10, lines, (96, 160))
    assert deeds(tmp_path / "a") == {"metres": 1.8, "dig": 1, "place": 0, "dig_log": 1}
