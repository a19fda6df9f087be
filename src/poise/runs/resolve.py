"""From a validated file to a `Resolved` run: every reference pinned, every contradiction with what it names found."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import poise
from poise import environments
from poise.artifacts import inputs, transfer
from poise.artifacts.manifest import Manifest
from poise.errors import NotFound, SpecError
from poise.methods import METHODS
from poise.runs import record
from poise.runs.record import Resolved
from poise.settings import Hub
from poise.specs import MethodSpec, Reference, Run, TrainingSpec, references
from poise.store import Store

# What a worker runs; the command line and the services may change without training being done again.
_CODE = ("artifacts", "builtin", "data", "evaluate", "serving", "specs", "train", "weights")


def resolve(run: Run, folder: Path, store: Store, hub: Hub, overrides: tuple[str, ...] = ()) -> Resolved:
    """Pin what `run` names. Raises `SpecError`, `DataError` or `NotFound`, each saying which field."""
    spec = _with_calibration(run.spec, store, folder, hub)
    pinned = {name: _pin(store, name, text, folder, hub) for name, text in references(spec).items()}
    base = pinned["base"]
    if base.startswith("artifact:"):
        manifest = transfer.read_manifest(store, base.removeprefix("artifact:"))
        _check_base(spec, manifest)
        if manifest.kind == "adapter":
            pinned["adapter"], pinned["base"] = base, manifest.base
    else:
        _check_full_base(spec)
    resource = run.model_copy(update={"spec": spec})
    return Resolved(
        id=record.new_id(run.metadata.namespace, run.metadata.name),
        run=resource.model_dump(mode="json", by_alias=True, exclude_none=True),
        overrides=overrides,
        inputs=pinned,
        base=pinned["base"],
        code=code_version(spec.method),
        created=record.now(),
    )


def _pin(store: Store, name: str, text: str, folder: Path, hub: Hub) -> str:
    def artifact_of_run(run: str) -> str:
        found = record.find_run(store, run)
        status = record.read_status(store, found)
        if status.artifact is None or status.phase != "Succeeded":
            raise NotFound(f"the run {run} has made nothing that can be used: it is {status.phase}")
        return status.artifact

    try:
        return inputs.pin(Reference.parse(text), folder, store, artifact_of_run, hub, is_data=name.startswith("data."))
    except (SpecError, NotFound) as error:
        raise type(error)(f"spec.{name}: {error.message}", advice=error.advice) from error


def _check_base(spec: MethodSpec, manifest: Manifest) -> None:
    is_adapter = manifest.kind == "adapter"
    if spec.method == "merge" and not is_adapter:
        raise SpecError("spec.base: merge takes an adapter, and this artifact is full weights already")
    if spec.method == "quantize" and is_adapter:
        raise SpecError("spec.base: quantize takes full weights, and this is an adapter", advice="merge first")
    if manifest.quantization:
        raise SpecError(
            f"spec.base: this artifact is quantized ({manifest.quantization})",
            advice="start from the 16- or 32-bit weights it was made of: 4-bit weights lose accuracy when changed",
        )
    if isinstance(spec, TrainingSpec):
        if is_adapter and spec.adapter is not None:
            raise SpecError(
                "spec.adapter: the base is an adapter already and is continued with the settings it has",
                advice="leave `adapter:` out, or merge first",
            )
        if not is_adapter:
            _check_full_base(spec)


def _check_full_base(spec: MethodSpec) -> None:
    if spec.method == "merge":
        raise SpecError(
            f"spec.base: merge takes an adapter, and {spec.base} is full weights",
            advice="name what a training run made, for example run:NAME or model:NAME@1",
        )
    if isinstance(spec, TrainingSpec) and spec.adapter is None:
        raise SpecError(
            "spec.adapter: is missing; training full weights in place is not supported",
            advice="write for example `adapter: {rank: 16, alpha: 32}`",
        )


def _with_calibration(spec: MethodSpec, store: Store, folder: Path, hub: Hub) -> MethodSpec:
    """A quantize spec whose calibration rows are those that its base was trained on, unless it names others."""
    if spec.method != "quantize" or spec.data.calibration is not None:
        return spec
    trained = _training_data(spec.base, store, folder, hub)
    if trained is None:
        raise SpecError(
            f"spec.data.calibration: is missing, and {spec.base} was not trained here",
            advice="name some of the rows that the model will meet",
        )
    values: dict[str, Any] = {"calibration": trained["train"]}
    if not spec.data.columns:
        values["columns"] = trained["columns"]
    return spec.model_copy(update={"data": spec.data.model_copy(update=values)})


def _training_data(base: str, store: Store, folder: Path, hub: Hub) -> dict[str, Any] | None:
    """`data` of the nearest training run in the lineage of `base`."""
    pinned = _pin(store, "base", base, folder, hub)
    while pinned.startswith("artifact:"):
        manifest = transfer.read_manifest(store, pinned.removeprefix("artifact:"))
        if "data.train" in manifest.inputs:
            try:
                data: dict[str, Any] = record.read_resolved(store, manifest.run).run["spec"]["data"]
            except NotFound:
                return None
            return data
        pinned = manifest.inputs.get("adapter") or manifest.inputs["base"]
    return None


@cache
def code_version(method: str) -> str:
    """Poise's version, and a digest of the modules that workers run and of the pins of a method's environments."""
    root = Path(poise.__file__).parent
    hasher = hashlib.sha256()
    for package in _CODE:
        for path in sorted((root / package).rglob("*.py")):
            hasher.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    for stage in METHODS[method]:
        hasher.update(environments.lock_digest(stage.environment).encode())
    return f"{poise.__version__}+{hasher.hexdigest()[:16]}"


def library_versions(names: tuple[str, ...]) -> dict[str, str]:
    """The installed versions of those distributions that there are."""
    found = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
