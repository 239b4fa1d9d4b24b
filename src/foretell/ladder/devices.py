"""What a device can compute: its peak, so that FLOP become hours."""

from __future__ import annotations

import math
from dataclasses import dataclass

from foretell.errors import LadderError, UnknownName
from foretell.rung import Precision

GPU_MFU = 0.4  # of the dense peak: Llama 3 reached 38–43 % (arXiv 2407.21783, Table 4)
SECONDS = 3600.0


@dataclass(frozen=True)
class Device:
    """Hold a device's peak in FLOP/s, dense (no sparsity), and the share of it that training usually reaches."""

    name: str
    peak: float
    source: str
    mfu: float = GPU_MFU
    precision: Precision = "bf16"


DEVICES: dict[str, Device] = {
    device.name: device
    for device in (
        Device("a100", 312e12, "NVIDIA A100 datasheet, bf16 tensor core"),
        Device("h100", 989e12, "NVIDIA H100 datasheet, SXM; half of 1,979 with sparsity"),
        Device("h100-pcie", 756e12, "NVIDIA H100 datasheet, PCIe; half of 1,513 with sparsity"),
        Device("h200", 989e12, "NVIDIA H200 datasheet, SXM; half of 1,979 with sparsity"),
        Device("b200", 2250e12, "NVIDIA HGX B200 datasheet; half of 4,500 with sparsity"),
        Device("l40s", 362e12, "NVIDIA L40S datasheet; half of 733 with sparsity"),
        Device("rtx3090", 71e12, "NVIDIA GA102 whitepaper, App. A, fp32 accumulation"),
        Device("rtx4090", 165.2e12, "NVIDIA Ada whitepaper, App. A, fp32 accumulation"),
        Device("mi300x", 1307e12, "AMD Instinct MI300X datasheet"),
        Device("tpu-v4", 275e12, "Google Cloud TPU v4 documentation"),
        Device("tpu-v5e", 197e12, "Google Cloud TPU v5e documentation"),
        Device("tpu-v5p", 459e12, "Google Cloud TPU v5p documentation"),
        Device("tpu-v6e", 918e12, "Google Cloud TPU v6e documentation"),
        # measured: 3M parameters, byte vocabulary, sequence 256, batch 16: 4,000 tokens/s fp32, 10,900 compiled bf16
        Device("cpu", 1e11, "measured: sustained by one server core training 3M parameters", 1.0, "fp32"),
    )
}


def device_named(name: str) -> Device:
    """Give the device of that name; raises UnknownName."""
    if (key := name.strip().lower()) in DEVICES:
        return DEVICES[key]
    raise UnknownName("device", name, DEVICES)


def device_hours(flop: float, device: Device, mfu: float | None = None) -> float:
    """Count the hours that one device takes; raises LadderError for a share of the peak outside 0..1."""
    share = device.mfu if mfu is None else mfu
    if not (math.isfinite(share) and 0 < share <= 1):
        raise LadderError(f"mfu is {share}; it is the share of the peak that training reaches, such as 0.4")
    return flop / (device.peak * share) / SECONDS
