"""What the keys of a report mean: titles, units, which way is better, and how they are grouped in tables.

A figure of the dream stands under its key; `true_`, `copy_` and `teacher_` before a key is the same figure of the truth
itself, of copying the last true frame, and of the many-step teacher.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Aim = Literal["high", "low", "one"]
BASELINES = {"true": "truth", "copy": "copy last frame", "teacher": "teacher"}
"""Prefixes of keys, and what they stand for."""
FLOOR = "elsewhere"
"""Prefix of what a revisit would score if the view were still the one elsewhere."""
DECIDING = ("psnr_1", "psnr_8", "psnr_32", "sharpness_32", "action_sensitivity", "idle_drift", "edit_gain")
"""Keys by which a model is called better or worse than another one."""
NOT_IN_BRIEF = ("gain_", "ssim_", "edit_psnr", "teacher_")
"""Beginnings of keys that say again what others say, and are left out of short tables."""
OTHER_GROUP = "Other figures"


@dataclass(frozen=True, slots=True)
class Key:
    """One figure of a report."""

    name: str
    title: str
    unit: str
    aim: Aim
    """Better when higher, when lower, or when nearer to one."""
    group: str
    meaning: str


def _pictures() -> list[Key]:
    keys = []
    for ticks in (1, 8, 32):
        when = f"{ticks} tick{'s' if ticks > 1 else ''}"
        keys += [
            Key(f"psnr_{ticks}", f"PSNR after {when}", "dB", "high", "Picture",
                f"true start, true actions: peak signal-to-noise ratio to the true frame after {when}"),
            Key(f"psnr_{ticks}_moving", f"… {when}, moving clips", "dB", "high", "Picture",
                "the same over those clips in which the player has turned or walked by then"),
            Key(f"gain_{ticks}", f"PSNR above copying, {when}", "dB", "high", "Picture",
                "how much nearer to the truth than the last true frame is, clip by clip"),
            Key(f"gain_{ticks}_moving", f"… {when}, moving clips", "dB", "high", "Picture",
                "the same over the moving clips"),
            Key(f"ssim_{ticks}", f"SSIM after {when}", "", "high", "Picture",
                f"structural similarity (Wang et al. 2004) to the true frame after {when}"),
        ]  # fmt: skip
    return keys


def _memory() -> list[Key]:
    return [
        Key(f"revisit_psnr_{seconds}s", f"revisit after {seconds} s", "dB", "high", "Memory",
            f"turn half round, look about for {seconds} s, turn back: PSNR to the frame before")
        for seconds in (1, 5, 20)
    ]  # fmt: skip


def _teacher() -> list[Key]:
    return [
        Key(f"teacher_lead_{ticks}", f"teacher above the dream, {ticks} ticks", "dB", "low", "Teacher",
            "PSNR of the many-step teacher minus that of the dream, on the clips that both have dreamed")
        for ticks in (1, 8, 32)
    ] + [
        Key(f"teacher_over_{seconds}s", f"teacher's Fréchet distance at {seconds} s, over the dream's", "", "high",
            "Teacher", f"Fréchet distance around {seconds} s of the many-step teacher over that of the dream, on the "
            "long ways that both have dreamed (`--teacher-ways`)")
        for seconds in (16, 90)
    ]  # fmt: skip


def _probe(name: str, title: str, meaning: str) -> Key:
    return Key(f"probe_{name}", title, "dB", "high", "Physics probes", meaning)


KEYS: tuple[Key, ...] = (
    Key("tokenizer_psnr", "tokenizer PSNR", "dB", "high", "Picture", "encode-decode of true frames"),
    Key("tokenizer_ssim", "tokenizer SSIM", "", "high", "Picture", "encode-decode of true frames"),
    *_pictures(),
    Key("sharpness_32", "sharpness after 32 ticks", "", "one", "Picture",
        "energy of the Laplacian, dreamed over true: below one is blur, above one is noise"),
    Key("action_sensitivity", "action sensitivity", "dB", "high", "Control",
        "PSNR over 32 ticks that is lost when a dream is given the actions of another clip"),
    Key("action_f1", "actions read back, F1", "", "high", "Control",
        "keys that an inverse-dynamics model reads off the frames, against those pressed"),
    Key("camera_deg", "camera read back, error", "degrees", "low", "Control",
        "median error of the camera turn that the same model reads off the frames"),
    Key("tasks_16", "feats that end as in truth", "", "high", "Control",
        "share of runs of sixteen scripted feats, replayed in the dream, whose outcome is read as the true one"),
    Key("idle_drift", "idle drift over 10 s", "of 255", "low", "Memory",
        "ten seconds without input: mean absolute change per pixel from the first frame"),
    *_memory(),
    Key("edit_gain", "edit gain after 20 ticks", "dB", "high", "Edits",
        "in the edited pixels, PSNR to the edited truth minus PSNR to the unedited truth, one second on"),
    Key("edit_psnr", "PSNR in edited pixels", "dB", "high", "Edits",
        "PSNR to the edited truth in the edited pixels, one second on"),
    _probe("wall", "walls stop", "walk into a wall: nearer to standing before it than to walking through it"),
    _probe("jump", "jumps end", "jump: nearer to rising and coming down than to staying down, or staying up"),
    _probe("cliff", "cliffs drop", "walk off a cliff: nearer to having fallen than to walking on in the air"),
    _probe("turn", "turns close", "turn 360 degrees: nearer to turning and closing than to standing, or not closing"),
    _probe("pillar", "near things pass", "strafe past a pillar: nearer to its passing by than to its coming along"),
    _probe("swim", "water carries", "sink, swim up: nearer to sinking and rising than to floating, or staying sunk"),
    _probe("animal", "animals go on", "an animal crosses: nearer to its walking on than to its stopping"),
    Key("frechet_16s", "Fréchet distance at 16 s", "", "low", "Distribution",
        "of frames around 16 s into a dream to true frames, over that of true to true, in features of a network "
        "trained here (not FID)"),
    Key("frechet_90s", "Fréchet distance at 90 s", "", "low", "Distribution", "the same around 90 s"),
    *_teacher(),
)  # fmt: skip
"""In the order in which they are shown."""
_BY_NAME = {key.name: key for key in KEYS}


def find(name: str) -> Key:
    """The key of a name; one that is not listed is taken at its word."""
    return _BY_NAME.get(name) or Key(name, name.replace("_", " "), "", "high", OTHER_GROUP, "")


def known(name: str) -> bool:
    """Whether a key is listed."""
    return name in _BY_NAME


def figures(report: dict[str, Any], brief: bool = False) -> list[Key]:
    """The keys that a report holds a figure for, listed ones first, each in its order; no baselines among them."""
    listed = [key for key in KEYS if isinstance(report.get(key.name), (int, float))]
    others = [
        find(name)
        for name in report
        if f"{name}_ci" in report and report[name] is not None and not known(name) and not _is_baseline(name, report)
    ]
    return [key for key in listed + others if not (brief and key.name.startswith(NOT_IN_BRIEF))]


def _is_baseline(name: str, report: dict[str, Any]) -> bool:
    prefix, _, rest = name.partition("_")
    return prefix == FLOOR or (prefix in BASELINES and (rest in report or known(rest)))


def goodness(aim: Aim, value: Any) -> Any:
    """A number, or an array of them, that grows as a figure gets better."""
    if aim == "high":
        return value
    return -value if aim == "low" else -abs(value - 1)
