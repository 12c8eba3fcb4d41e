"""An `onnxruntime` with a CUDA provider that runs on the processor, over a `FakeGpu`'s memory and stream.

Sessions are ONNX Runtime's own. What is different: the provider is in the list, "cuda" bindings take a FakeGpu's
addresses, and a run happens where the given stream has come to it.
"""

from __future__ import annotations

import onnxruntime as real

CUDA, CPU = "CUDAExecutionProvider", "CPUExecutionProvider"


class Module:
    """`given`: the providers that a session really gets; `capturable`: whether sessions with CUDA graphs load.

    `captures`: whether runs that are to be captured succeed.
    """

    SessionOptions, RunOptions = real.SessionOptions, real.RunOptions

    def __init__(self, gpu, available=(CUDA, CPU), given=(CUDA, CPU), capturable=True, captures=True, version="1.27.0"):
        self.__version__ = version
        self.captures = captures
        self.gpu, self.available, self.given, self.capturable = gpu, list(available), list(given), capturable
        self.settings: list[dict[str, str]] = []
        self.graph_ids: list[str] = []

    def get_available_providers(self):
        return self.available

    def InferenceSession(self, source, options, providers):
        return Session(self, source, options, providers)


class Session:
    def __init__(self, module, source, options, providers):
        ((name, settings),) = providers
        assert name == CUDA, "a session that may fall back to the processor"
        assert options.get_session_config_entry("session.disable_cpu_ep_fallback") == "1"
        if settings["enable_cuda_graph"] == "1" and not module.capturable:
            raise RuntimeError("This session cannot use the graph capture feature")
        options.add_session_config_entry("session.disable_cpu_ep_fallback", "0")
        module.settings.append(settings)
        self._module, self._stream = module, int(settings["user_compute_stream"])
        self._captures, self._graphs = settings["enable_cuda_graph"] == "1", {}
        self._real = real.InferenceSession(source, options, providers=[CPU])
        self.get_inputs, self.get_outputs = self._real.get_inputs, self._real.get_outputs

    def get_providers(self):
        return self._module.given

    def io_binding(self):
        return Binding(self._real.io_binding())

    def run_with_iobinding(self, binding, options):
        if self._captures:
            graph = options.get_run_config_entry("gpu_graph_id")
            self._module.graph_ids.append(graph)
            if graph != "-1" and not self._module.captures:
                raise RuntimeError("operation not permitted when stream is capturing")
            known = self._graphs.setdefault(graph, dict(binding.bound))
            assert graph == "-1" or known == binding.bound, "a captured graph is met with other shapes or addresses"
        assert options.get_run_config_entry("disable_synchronize_execution_providers") == "1"
        self._module.gpu.synchronise(self._stream)
        self._real.run_with_iobinding(binding.real)


class Binding:
    def __init__(self, binding):
        self.real, self.bound = binding, {}

    def bind_input(self, name, device_type, device_id, element_type, shape, buffer_ptr):
        assert (device_type, device_id) == ("cuda", 0)
        self.bound[name] = shape, buffer_ptr
        self.real.bind_input(name, "cpu", 0, element_type, shape, buffer_ptr)

    def bind_output(self, name, device_type, device_id, element_type, shape, buffer_ptr):
        assert (device_type, device_id) == ("cuda", 0)
        self.bound[name] = shape, buffer_ptr
        self.real.bind_output(name, "cpu", 0, element_type, shape, buffer_ptr)
