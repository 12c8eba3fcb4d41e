"""The error hierarchy. A message says what was expected, what was found, where, and what to do next."""


class OnboardVlaError(Exception):
    """Root of every error this project raises on purpose."""


class ConfigurationError(OnboardVlaError):
    """A configuration value is missing, unknown, out of range or of the wrong type."""


class ArgumentError(ConfigurationError):
    """An option or argument that cannot be: an unknown name, out of range or form, or two that exclude each other.

    A file that is missing, damaged or cannot be written is none of these.
    """


class BundleError(OnboardVlaError):
    """A bundle, engine cache or thresholds file is damaged, incomplete or does not fit."""


class CheckpointError(OnboardVlaError):
    """A checkpoint lacks tensors, has unknown ones, or its sizes disagree."""


class CodebookError(OnboardVlaError):
    """A trajectory codebook has the wrong shape, type or values."""


class PromptError(OnboardVlaError):
    """A prompt template lacks a field, names an unknown one, or cannot be rendered."""


class WireError(OnboardVlaError):
    """A wire message is truncated, oversized, of an unknown kind or version, or has wrong fields."""


class FrameError(OnboardVlaError):
    """A camera frame or frame set is missing, mis-shaped or out of order."""


class GeometryError(OnboardVlaError):
    """A geometric input is degenerate or not finite."""


class EngineError(OnboardVlaError):
    """An inference engine cannot be built from its graph, or an execution failed."""


class EnvironmentLacksError(OnboardVlaError):
    """This machine lacks something that the requested work needs."""
