"""What versions of TDengine do differently: their rules, words and errors."""

from airflow_provider_tdengine.testing.generations.errors import BoxError
from airflow_provider_tdengine.testing.generations.generation import Generation, generation_of

__all__ = ["BoxError", "Generation", "generation_of"]
