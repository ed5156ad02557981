"""Ways in which OpenMP's threads wait, beside other work: training steps a second of a small network.

    python -m benchmarks.busy                 quiet, then beside one busy program for every core, then two
    python -m benchmarks.busy --seconds 5     seconds of each measurement

Every policy is measured in processes of its own, in turns, three times each; the ratios to torch's default
hold for this machine and this run alone. Other programs on the machine count as busy ones: a quiet machine is
needed for the first row.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time

from faces.core import threads

SPIN = "while True: pass"
POLICIES = {
    "default": {},
    "short spin": threads.SPIN,  # what the stages set
    "passive": {"OMP_WAIT_POLICY": "passive"},
    "one thread": {"OMP_NUM_THREADS": "1"},
}
TURNS = 3
SETTLED = (*threads.WAITING, "OMP_NUM_THREADS")


def work(policy: str, seconds: float) -> float:
    """Training steps a second of a small convolutional autoencoder: 64 pixels, 16 faces a step."""
    for name in SETTLED:
        os.environ.pop(name, None)
    os.environ.update(POLICIES[policy])
    import torch  # noqa: PLC0415  it reads the policy when it is loaded

    from faces.nn.layers import strided_encoder, upsampling_decoder  # noqa: PLC0415

    torch.manual_seed(0)
    network = torch.nn.Sequential(strided_encoder(64, 8, 32), upsampling_decoder(64, 8, 32))
    adam = torch.optim.Adam(network.parameters())
    images = torch.rand(16, 3, 64, 64) * 2 - 1

    def step() -> None:
        adam.zero_grad()
        (network(images) - images).square().mean().backward()
        adam.step()

    step()  # the first one sets up
    steps = 0
    start = time.monotonic()
    while time.monotonic() - start < seconds:
        step()
        steps += 1
    return steps / (time.monotonic() - start)


def measure(policy: str, seconds: float) -> float:
    """Steps a second under `policy`, in a process of its own."""
    code = f"from benchmarks import busy; print(busy.work({policy!r}, {seconds}))"
    return float(
        subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.PIPE, text=True).stdout
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.busy", description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=3.0)
    seconds = parser.parse_args().seconds
    cores = threads.usable_cores()
    print(f"{cores} cores, load before {os.getloadavg()[0]:.1f}; medians of {TURNS}, steps a second")
    print(f"{'busy programs':>13}  " + "  ".join(f"{policy:>18}" for policy in POLICIES))
    for others in (0, cores, 2 * cores):
        busy = [subprocess.Popen([sys.executable, "-c", SPIN]) for _ in range(others)]
        try:
            found: dict[str, list[float]] = {policy: [] for policy in POLICIES}
            for _ in range(TURNS):
                for policy, rates in found.items():
                    rates.append(measure(policy, seconds))
        finally:
            for process in busy:
                process.kill()
                process.wait()
        medians = {policy: statistics.median(rates) for policy, rates in found.items()}
        shown = [f"{rate:8.2f} ({rate / medians['default']:5.2f} x)" for rate in medians.values()]
        print(f"{others:>13}  " + "  ".join(f"{text:>18}" for text in shown), flush=True)


if __name__ == "__main__":
    main()
