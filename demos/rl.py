"""Agents: PPO in the dream or the voxel world, judged in either. `python -m reverie.demos.rl train --help`"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gymnasium
import numpy as np
from tqdm import tqdm

from reverie.demos.cli import EXIT_ERROR, EXIT_INTERRUPTED, Parser, add_engine, whole
from reverie.env.episode import KEEP_STARTS
from reverie.env.tasks import TASKS, make_task
from reverie.model.errors import ReverieError
from reverie.model.startup import require
from reverie.simulator.outputs import writable_folder

if TYPE_CHECKING:
    from stable_baselines3 import PPO

    from reverie.demos.sb3 import PlayersVecEnv
    from reverie.env.vector import WorldVectorEnv

ENV_IDS = {"dream": "reverie/Dream-v0", "voxel": "reverie/Voxel-v0"}
AGENT_SPACES = ("discrete", "multidiscrete")
HELD_OUT_SEEDS = (1_000_000, 1_001_000)
"""The worlds, by seed, that agents are judged in."""
JUDGING_SEED = 0
ROLLOUT_CHOICES = 128
"""Actions that each player chooses between two updates."""
MINIBATCH = 256
EPOCHS = 4
FEATURES = 128
"""Width of the policy's image features: the usual 512 would be a slow half of the network."""
ENTROPY_WORTH = 0.01
CONFIG_FILE, POLICY_FILE = "agent.json", "policy.safetensors"


class AgentError(ReverieError):
    """An agent that is damaged."""


@dataclass(frozen=True, slots=True)
class Engine:
    """Which dream, where `env` is `dream`."""

    model: str = "tiny"
    backend: str = "auto"
    device: str = "auto"


@dataclass(frozen=True, slots=True)
class AgentConfig:
    """What an agent was trained on; saved beside its policy."""

    env: str
    task: str
    action_space: str
    scene: str | None
    worlds: int
    """How many worlds, seeds 0 up to this."""
    episode_ticks: int
    repeat: int
    """Ticks that each action is held."""
    steps: int
    seed: int


@dataclass(frozen=True, slots=True)
class Judgement:
    """What an agent scored in a world that it has not seen, beside a player who presses keys at random."""

    env: str
    task: str
    episodes: int
    score: float
    score_deviation: float
    random_score: float


def make_players(
    env: str, num_envs: int, config: AgentConfig, engine: Engine, world_seeds: tuple[int, int] | None = None
) -> WorldVectorEnv:
    """A vector environment of a task for agents, in the training worlds unless other seeds are given."""
    envs = gymnasium.make_vec(
        ENV_IDS[env],
        num_envs=num_envs,
        vectorization_mode="vector_entry_point",
        task=config.task,
        action_space=config.action_space,
        scene=config.scene,
        world_seeds=world_seeds or (0, config.worlds),
        max_episode_steps=config.episode_ticks,
        autoreset_mode="SameStep",
        **(asdict(engine) if env == "dream" else {}),
    )
    return envs.unwrapped  # type: ignore[return-value]


def for_sb3(players: WorldVectorEnv, config: AgentConfig) -> PlayersVecEnv:
    """The players as stable-baselines3 wants them. Raises MissingExtra where that is not installed."""
    require("rl", "an agent")
    from reverie.demos.sb3 import PlayersVecEnv

    return PlayersVecEnv(players, config.repeat)


def make_agent(players: PlayersVecEnv, config: AgentConfig) -> PPO:
    """An untrained PPO agent with a small convolutional policy."""
    from stable_baselines3 import PPO

    rollout = min(ROLLOUT_CHOICES, max(2, config.steps // (config.repeat * players.num_envs)))
    return PPO(
        "CnnPolicy",
        players,
        n_steps=rollout,
        batch_size=min(MINIBATCH, rollout * players.num_envs),
        n_epochs=EPOCHS,
        ent_coef=ENTROPY_WORTH,
        policy_kwargs={"features_extractor_kwargs": {"features_dim": FEATURES}},
        seed=config.seed,
    )


def train(config: AgentConfig, num_envs: int, engine: Engine, out: Path | None) -> tuple[PPO, dict[str, Any]]:
    """Trains an agent, saves it to the folder `out` if there is one, and reports on the way it went."""
    players = for_sb3(make_players(config.env, num_envs, config, engine), config)
    agent = make_agent(players, config)
    began = time.perf_counter()
    with tqdm(total=config.steps, unit="tick", desc=f"train {config.task}", file=sys.stderr) as bar:

        def show(*_: Any) -> bool:
            bar.update(min(agent.num_timesteps * config.repeat, config.steps) - bar.n)
            return True

        agent.learn(max(1, config.steps // config.repeat), callback=show)
    seconds = time.perf_counter() - began
    scores = [episode["r"] for episode in agent.ep_info_buffer or ()]
    ticks = agent.num_timesteps * config.repeat
    players.close()
    if out is not None:
        save_agent(agent, config, out)
    return agent, {
        **asdict(config),
        "num_envs": num_envs,
        "steps": ticks,
        "seconds": round(seconds, 2),
        "ticks_per_second": round(ticks / seconds, 1),
        "score": round(float(np.mean(scores)), 3) if scores else None,
    }


def judge(agent: PPO, config: AgentConfig, env: str, episodes: int, engine: Engine) -> Judgement:
    """Lets an agent, and then chance, play one episode in each of `episodes` held-out worlds."""
    players = for_sb3(make_players(env, episodes, config, engine, HELD_OUT_SEEDS), config)
    agent.set_random_seed(JUDGING_SEED)
    scores = play_once(players, lambda frames: agent.predict(frames, deterministic=False)[0])
    everyone = players.players.action_space
    everyone.seed(JUDGING_SEED)
    chance = play_once(players, lambda _: everyone.sample())
    players.close()
    return Judgement(
        env=env,
        task=config.task,
        episodes=episodes,
        score=round(float(scores.mean()), 3),
        score_deviation=round(float(scores.std()), 3),
        random_score=round(float(chance.mean()), 3),
    )


def play_once(players: PlayersVecEnv, choose: Callable[[Any], np.ndarray]) -> np.ndarray:
    """float64 [b]: the score of each player's first episode; `choose` makes a batch of samples from frames."""
    players.seed(JUDGING_SEED)
    frames: Any = players.reset()
    scores = np.full(players.num_envs, np.nan)
    while np.isnan(scores).any():
        frames, _, done, infos = players.step(choose(frames))
        for index in np.flatnonzero(done & np.isnan(scores)):
            scores[index] = infos[index]["episode"]["r"]
    return scores


def save_agent(agent: PPO, config: AgentConfig, out: Path) -> None:
    """Writes `agent.json` and `policy.safetensors` into a folder."""
    from safetensors.torch import save_model

    try:
        out.mkdir(parents=True, exist_ok=True)
        save_model(agent.policy, str(out / POLICY_FILE))
        (out / CONFIG_FILE).write_text(json.dumps(asdict(config), indent=2) + "\n", "utf-8")
    except OSError as error:
        raise AgentError(f"cannot save the agent to {out}: {error.strerror}") from error


def load_config(folder: Path) -> AgentConfig:
    """What an agent was trained on. Raises AgentError for a folder that holds none, or a damaged one."""
    try:
        config = AgentConfig(**json.loads((folder / CONFIG_FILE).read_text("utf-8")))
    except OSError as error:
        raise AgentError(f"no agent in {folder}: {error.strerror}") from error
    except (TypeError, ValueError) as error:
        raise AgentError(f"the agent in {folder} has a damaged {CONFIG_FILE}") from error
    numbers = (config.worlds, config.episode_ticks, config.repeat, config.steps, config.seed)
    if config.action_space not in AGENT_SPACES or not all(isinstance(number, int) for number in numbers):
        raise AgentError(f"the agent in {folder} has a damaged {CONFIG_FILE}")
    make_task(config.task)
    return config


def load_agent(folder: Path, config: AgentConfig, env: str, engine: Engine) -> PPO:
    """The saved agent of a folder. Raises AgentError for a policy that is damaged or does not fit."""
    from safetensors import SafetensorError
    from safetensors.torch import load_model

    players = for_sb3(make_players(env, 1, config, engine), config)
    agent = make_agent(players, config)
    players.close()
    try:
        load_model(agent.policy, folder / POLICY_FILE)
    except (OSError, SafetensorError, RuntimeError) as error:
        raise AgentError(f"the agent in {folder} has a {POLICY_FILE} that cannot be read or does not fit") from error
    return agent


def build_parser() -> Parser:
    """The command line of this demo."""
    parser = Parser(prog="python -m reverie.demos.rl", description="Train agents in a world, judge them in another.")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    count = whole(1)

    trainer = commands.add_parser("train", help="train an agent with PPO")
    trainer.add_argument("--env", choices=sorted(ENV_IDS), default="dream", help="(default: dream)")
    trainer.add_argument("--task", choices=sorted(TASKS), default="wood", help="(default: wood)")
    trainer.add_argument("--action-space", choices=AGENT_SPACES, default="discrete", help="(default: discrete)")
    trainer.add_argument("--scene", metavar="NAME", help="where every episode starts, such as forest (default: any)")
    trainer.add_argument("--worlds", type=count, default=KEEP_STARTS, help=f"how many (default: {KEEP_STARTS})")
    trainer.add_argument("--steps", type=count, default=100_000, help="ticks of all players (default: 100000)")
    trainer.add_argument("--num-envs", type=count, default=8, help="players at once (default: 8)")
    trainer.add_argument("--episode-ticks", type=count, default=400, help="length of an episode (default: 400)")
    trainer.add_argument("--repeat", type=count, default=4, help="ticks to hold each action (default: 4)")
    trainer.add_argument("--seed", type=whole(0), default=0, help="(default: 0)")
    trainer.add_argument("--out", type=Path, metavar="DIR", help="save the agent here")
    trainer.add_argument("--evaluate-in", choices=sorted(ENV_IDS), help="then judge it in this world")

    evaluator = commands.add_parser("evaluate", help="judge a saved agent in held-out worlds")
    evaluator.add_argument("--agent", type=Path, required=True, metavar="DIR", help="what train --out wrote")
    evaluator.add_argument("--env", choices=sorted(ENV_IDS), default="voxel", help="(default: voxel)")

    for command in (trainer, evaluator):
        command.add_argument("--episodes", type=count, default=16, help="to judge by (default: 16)")
        command.add_argument("--json", action="store_true", help="end standard output with one line of JSON")
        add_engine(command)
    return parser


def run(arguments: Sequence[str] | None = None) -> Mapping[str, Any]:
    """Does what the command line asks for and returns its report. Raises ReverieError."""
    asked = build_parser().parse_args(arguments)
    require("rl", asked.command)
    engine = Engine(asked.model, asked.backend, asked.device)
    if asked.command == "train":
        if asked.out is not None:
            writable_folder(asked.out)
        config = AgentConfig(
            env=asked.env,
            task=asked.task,
            action_space=asked.action_space,
            scene=asked.scene,
            worlds=asked.worlds,
            episode_ticks=asked.episode_ticks,
            repeat=asked.repeat,
            steps=asked.steps,
            seed=asked.seed,
        )
        agent, report = train(config, asked.num_envs, engine, asked.out)
        if asked.evaluate_in is not None:
            report["evaluation"] = asdict(judge(agent, config, asked.evaluate_in, asked.episodes, engine))
    else:
        config = load_config(asked.agent)
        agent = load_agent(asked.agent, config, asked.env, engine)
        report = asdict(judge(agent, config, asked.env, asked.episodes, engine))
    if asked.json:
        print(json.dumps(report))
    else:
        print("\n".join(f"{name:16} {value}" for name, value in report.items()))
    return report


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code: 0, 2 after one line on standard error, or 130 after Ctrl-C."""
    try:
        run(arguments)
    except ReverieError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_ERROR
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    return 0


if __name__ == "__main__":
    sys.exit(main())
