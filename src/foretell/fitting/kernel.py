"""A kernel: one compiled loop that sums a law's penalties with their gradient and Hessian."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

from foretell.fitting import elementary
from foretell.fitting.objective import Objective
from foretell.laws.cache import cache_folder, write_whole
from foretell.laws.derivatives import Code
from foretell.laws.law import Law

# void(theta (q,), features (f, n), target (n,), weight (n,), parameter, n rows used, out (1 + q + q(q+1)/2,)), and the
# q(q+1)/2 entries of the majorising parabola's matrix behind, where it is asked for
SIGNATURE = "void(float64[::1], float64[:, ::1], float64[::1], float64[::1], float64, int64, float64[::1])"

_PENALTY = {
    "gaussian": ["rho = 0.5 * r * r", "rho1 = r", "rho2 = 1.0"],
    "huber": [
        "a = abs(r)",
        "inside = a <= parameter",
        "rho = 0.5 * r * r if inside else parameter * (a - 0.5 * parameter)",
        "rho1 = r if inside else (parameter if r > 0.0 else -parameter)",
        "rho2 = 1.0 if inside else 0.0",
    ],
    "student-t": [
        "rho = 0.5 * (parameter + 1.0) * log(1.0 + r * r / parameter)",
        "rho1 = (parameter + 1.0) * r / (parameter + r * r)",
        "rho2 = (parameter + 1.0) * (parameter - r * r) / ((parameter + r * r) * (parameter + r * r))",
    ],
}


def upper_index(i: int, j: int, q: int) -> int:
    """Give the place of entry (i, j), i ≤ j, of a q × q Hessian among the kernel's outputs."""
    return 1 + q + i * q - i * (i - 1) // 2 + (j - i)


def kernel_source(code: Code, objective: Objective, *, majorised: bool = False) -> str:
    """Write the kernel of a law under an objective as Python text for Numba.

    `majorised`, for a Huber objective, adds Σ w g gᵀ ρ'(r)/r: the Hessian of the parabola that touches the penalty at
    r and lies above it, so that rows beyond the width are seen too.
    For a binomial objective `target` is the share k/n and `weight` counts each row n times; else `target` is the
    value or its logarithm. With a free scale the last of the q parameters is the scale's logarithm.
    """
    p = len(code.gradient)
    q = p + objective.free_scale
    lines = [f"    c{i} = theta[{i}]" for i in range(p)]
    if objective.free_scale:
        lines += [f"    log_s = theta[{p}]", "    per_s = exp(-log_s)"]
    lines += [f"    {name} = {text}" for name, text in code.fixed]
    triangle = q * (q + 1) // 2
    size = 1 + q + triangle * (1 + majorised)
    lines += [f"    o{k} = 0.0" for k in range(size)]
    body = [f"x{i} = X[{i}, i]" for i in range(len(code.features))]
    body += [f"{name} = {text}" for name, text in code.row]
    body += [f"v = {code.value}", "y = target[i]", "w = weight[i]"]
    if objective.kind == "binomial":
        body += [
            "rho = -(y * log(v) + (1.0 - y) * log(1.0 - v))",
            "d1 = (v - y) / (v * (1.0 - v))",
            "d2 = y / (v * v) + (1.0 - y) / ((1.0 - v) * (1.0 - v))",
        ]
    else:
        body += ["r = log(v) - y" if objective.space == "log" else "r = v - y"]
        if objective.free_scale:
            body += ["r = r * per_s"]
        body += _PENALTY[objective.kind]
        if majorised:
            body += ["d0 = w if inside else w * parameter / a"]
        if objective.free_scale:
            body += [
                "cross = -(r * rho2 + rho1) * per_s",
                f"o{1 + p} += w * (1.0 - r * rho1)",
                f"o{upper_index(p, p, q)} += w * r * (r * rho2 + rho1)",
                "rho = rho + log_s",
                "rho1 = rho1 * per_s",
                "rho2 = rho2 * per_s * per_s",
            ]
        if objective.space == "log":
            body += ["per_v = 1.0 / v", "d1 = rho1 * per_v", "d2 = (rho2 - rho1) * per_v * per_v"]
        else:
            body += ["d1 = rho1", "d2 = rho2"]
        if majorised and objective.space == "log":
            body += ["d0 = d0 * per_v * per_v"]
        if objective.free_scale:
            if objective.space == "log":
                body += ["cross = cross * per_v"]
            body += [f"o{upper_index(i, p, q)} += w * cross * ({code.gradient[i]})" for i in range(p)]
    body += ["o0 += w * rho", "d1 = w * d1", "d2 = w * d2"]
    body += [f"g{i} = {text}" for i, text in enumerate(code.gradient)]
    body += [f"o{1 + i} += d1 * g{i}" for i in range(p)]
    for i in range(p):
        body += [f"d2g{i} = d2 * g{i}"]
        if majorised:
            body += [f"d0g{i} = d0 * g{i}"]
        for j in range(i, p):
            curve = code.hessian.get(f"{i},{j}")
            second = f" + d1 * ({curve})" if curve else ""
            body += [f"o{upper_index(i, j, q)} += d2g{i} * g{j}{second}"]
            if majorised:
                body += [f"o{triangle + upper_index(i, j, q)} += d0g{i} * g{j}"]
    lines += ["    for i in range(n):", *(f"        {line}" for line in body)]
    lines += [f"    out[{k}] = o{k}" for k in range(size)]
    return "\n".join(
        [
            "from math import sqrt",
            "from numba import njit",
            "from foretell.fitting.elementary import exp, log",
            "",
            f'@njit("{SIGNATURE}", cache=True, nogil=True, boundscheck=False, error_model="numpy",',
            '      fastmath={"reassoc", "contract", "nsz", "arcp"})',
            "def kernel(theta, X, target, weight, parameter, n, out):",
            *lines,
            "",
        ]
    )


@lru_cache(maxsize=1)
def _elementary_digest() -> str:
    return hashlib.sha256(Path(elementary.__file__).read_bytes()).hexdigest()


@lru_cache(maxsize=256)
def _load(source: str) -> Callable[..., None]:
    digest = hashlib.sha256((source + _elementary_digest()).encode()).hexdigest()[:24]
    name = f"foretell_kernel_{digest}"
    path = cache_folder() / f"{name}.py"
    if not path.exists():
        write_whole(path, source.encode())
    specification = importlib.util.spec_from_file_location(name, path)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules[name] = module  # Numba's cache finds a function's module by name
    specification.loader.exec_module(module)
    kernel: Callable[..., None] = module.kernel
    return kernel


def kernel_of(law: Law, objective: Objective, *, majorised: bool = False) -> Any:
    """Give the compiled kernel of a law under an objective; compiled once a machine, then read from disk."""
    return _load(kernel_source(law.code, objective, majorised=majorised))
