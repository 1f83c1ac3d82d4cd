"""`bassbench score FOLDER` and `bassbench run SYSTEM`: how good is it, compared with what, and how sure is that?"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from bassbench.cache import content_hash
from bassbench.errors import BadInputError, check_limits
from bassbench.suite.evaluation import Candidate, Evaluation, evaluate, processes, report_run
from bassbench.suite.sources import ClipPlan, FolderSource, Source, SystemSource
from bassbench.suite.systems import load_system, parse_arguments, state_of


@dataclass(frozen=True)
class Score(Evaluation):
    """Score a folder of audio files, one a clip, named by clip or song (`bassbench data render` gives the mixes)."""

    folder: tyro.conf.Positional[Path]
    """Folder of wav, flac, mp3 or ogg files: any rate, mono or stereo, as long as the mixes."""
    name: str | None = None
    """What tables call the system (default: the folder's name)."""

    def run(self) -> None:
        """Measure what is missing, print the table, write the run folder.

        Raises:
            BadInputError: the folder, the data or an option cannot be used.
        """
        name = self.name or self.folder.resolve().name

        def source(clips: ClipPlan, output: Path) -> Source:
            if output.resolve() == self.folder.resolve():
                raise BadInputError(f"{output}: holds the audio; results go to a folder of their own, see --output")
            return FolderSource(name, self.folder, clips)

        outputs = str(self.folder.resolve())
        folder, rows = evaluate(self, Candidate(name, "score", {}, source, outputs=outputs))
        report_run(folder, rows, name)


@dataclass(frozen=True)
class Run(Evaluation):
    """Let a system play for every mix, keep what it plays, and score it; any `accompany(mix, style, seeds)` will do."""

    system: tyro.conf.Positional[str]
    """A name from `bassbench list`, package.module:Class, or file.py:Class."""
    arguments: tyro.conf.Positional[tuple[str, ...]] = ()
    """What the class is made with: key=value ..."""
    batch_size: int = 8
    """Clips given to the system at a time."""
    name: str | None = None
    """What tables call the system (default: its own name)."""
    fresh: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Play every clip anew, whatever an earlier run kept."""

    def run(self) -> None:
        """Play and measure what is missing, print the table, write the run folder.

        Raises:
            BadInputError: the system, the data or an option cannot be used.
        """
        check_limits(self)  # before a system is made
        processes()  # gives each its own GPU before the system takes one
        system = load_system(self.system, self.arguments)
        name = self.name or str(system.name)
        setting: dict[str, Any] = parse_arguments(self.arguments)
        state = state_of(system, setting, self.system)
        codec = getattr(system, "codec", None)

        def source(clips: ClipPlan, output: Path) -> Source:
            return SystemSource(name, setting, clips, output, system, self.batch_size, state)

        made_with = [self.system, *sorted(self.arguments)]
        codec_name = content_hash(*[str(system.codec_key)] if hasattr(system, "codec_key") else made_with)[:8]
        candidate = Candidate(name, self.system, setting, source, codec=codec, codec_name=codec_name)
        folder, rows = evaluate(self, candidate, fresh=self.fresh)
        report_run(folder, rows, name)
