"""The benches by name."""

# Name on the command line to module; each has `run(scale)`.
BENCHES = {
    "intake": "bench.intake",
    "intake-small": "bench.intake_small",
    "workers": "bench.workers",
    "import": "bench.importing",
    "commands": "bench.commands",
    "reads": "bench.reads",
    "fan-out": "bench.fan_out",
    "latency": "bench.latency",
    "rebuild": "bench.rebuilding",
    "at-rest": "bench.at_rest",
    "start": "bench.start",
    "million": "bench.million",
    "soak": "bench.soak",
}
LONG = ("million", "soak")  # not part of a run without a name
