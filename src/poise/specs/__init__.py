"""The resources a user writes, as data: no torch, no store, no network."""

from poise.specs.digest import canonical, digest, file_digest, tree_digest
from poise.specs.load import METHOD_SPECS, Loaded, Resource, load_file, loads
from poise.specs.reference import Reference
from poise.specs.run import API_VERSION, MethodSpec, Pipeline, PipelineSpec, Run, Step, references
from poise.specs.schema import json_schema
from poise.specs.training import GrpoSpec, Reward, SftSpec, TrainingSpec
from poise.specs.weights import MergeSpec, QuantizeSpec

__all__ = [
    "API_VERSION", "METHOD_SPECS", "GrpoSpec", "Loaded", "MergeSpec", "MethodSpec", "Pipeline", "PipelineSpec",
    "QuantizeSpec", "Reference", "Resource", "Reward", "Run", "SftSpec", "Step", "TrainingSpec", "canonical", "digest",
    "file_digest", "json_schema", "load_file", "loads", "references", "tree_digest",
]  # fmt: skip
