"""ONNX Runtime on a GPU: the .onnx file as it was exported, by one execution provider and no other.

ONNX Runtime gives what a provider cannot take, and everything when a provider cannot begin, to the CPU without a word. A figure
of such a mixture would be nobody's: it is refused, node by node (session.disable_cpu_ep_fallback) and as a whole.
"""

from __future__ import annotations

import warnings
from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from targets.runtimes._adapter import refuse_beside
from targets.runtimes._base import Arrays, Predictor, Staged, Unsupported, one_line, refuse
from targets.runtimes.gpu._base import GpuRuntime
from targets.runtimes.gpu._memory import Growth
from targets.runtimes.onnxruntime_ import Session, errors

if TYPE_CHECKING:
    from targets.runtimes.gpu._clock import Clock

CPU = "CPUExecutionProvider"


@dataclass(frozen=True)
class OnnxRuntimeOnGpu(GpuRuntime):
    """Works on a stream of torch's, so that torch's events time it; so it needs a torch with CUDA beside it."""

    format: ClassVar[str] = "onnx"
    packages: ClassVar[Mapping[str, str]] = {"onnxruntime-gpu": "onnxruntime"}
    provider: ClassVar[str]

    @abstractmethod
    def options(self, file: Path) -> dict[str, str]:
        """The provider's, for that file."""

    def modules(self) -> tuple[str, ...]:
        """What `load` imports."""
        return ("onnxruntime", "torch")

    def version(self) -> str:
        """Of the package, which is not always the one that is named onnxruntime-gpu."""
        import onnxruntime

        return str(onnxruntime.__version__)

    def refusal(self) -> str | None:
        """Why ONNX Runtime has no such provider, or nothing could time it."""
        import onnxruntime
        import torch

        if self.provider not in onnxruntime.get_available_providers():
            return (
                f"onnxruntime {onnxruntime.__version__} has no {self.provider}; "
                "`pip install onnxruntime-gpu` in its place would bring it"
            )
        if not torch.cuda.is_available():
            return f"torch {torch.__version__}, whose clock times {self.provider}, sees no GPU"
        return None

    def load(self, files: list[Path], threads: int) -> Predictor:
        """A session whose every node runs on the provider."""
        import onnxruntime

        from targets.runtimes.gpu._clock import EventClock, clock_of

        refuse_beside(files)
        memory, clock = Growth(self.device), clock_of(self.device)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 4  # fatal only: what goes wrong is raised below
        provided = self.options(files[0])
        if self.device == "cuda":
            options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
        if isinstance(clock, EventClock):
            provided |= {"device_id": "0", "user_compute_stream": str(clock.stream.cuda_stream)}
        try:
            session = _strict(files[0], options, self.provider, provided)
        except errors() as error:
            kind = Unsupported if "CPU EP" in str(error) else ValueError
            raise kind(f"{files[0].name}: {one_line(error)}") from error
        return OnDevice(Session(files[0].name, session), self.device, clock, memory)


def _strict(file: Path, options: Any, provider: str, provided: dict[str, str]) -> Any:
    """A session of that provider. RuntimeError for one of another."""
    import onnxruntime

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it takes another provider: an error below
        session = onnxruntime.InferenceSession(str(file), options, providers=[(provider, provided)])
    if (found := session.get_providers())[0] != provider:
        raise RuntimeError(f"{provider} could not begin, ONNX Runtime took {found[0]} instead")
    session.disable_fallback()
    return session


class OnDevice(Staged):
    """A session, and inputs bound where it works."""

    def __init__(self, host: Session, device: str, clock: Clock, memory: Growth) -> None:
        self._host, self._device, self._clock, self._memory = host, device, clock, memory
        self.file, self.session, self._errors = host.file, host.session, errors()

    @property
    def batch(self) -> int | None:
        """See Staged."""
        return self._host.batch

    def __call__(self, inputs: Arrays) -> Arrays:
        """See Staged."""
        return self._host(inputs)

    def stage(self, inputs: Arrays) -> Callable[[], int]:
        """See Staged."""
        import onnxruntime

        binding, run = self.session.io_binding(), self.session.run_with_iobinding
        try:
            for name, array in inputs.items():
                binding.bind_ortvalue_input(name, onnxruntime.OrtValue.ortvalue_from_numpy(array, self._device, 0))
            for output in self.session.get_outputs():
                binding.bind_output(output.name, self._device)
            run(binding)
        except self._errors as error:
            refuse(self.file, self._host.expected, inputs, error)
        self._clock.settle()
        return lambda: self._clock.time(lambda: run(binding))

    def peak_bytes(self) -> int | None:
        """See Growth; of TensorRT with the engine's workspace."""
        return self._memory.bytes()
