"""The compiled part. Private: the package's functions say what they take, and check it."""

import numpy as np

version: str
record_dtype: np.dtype[np.void]
depends_on_load: int

class Config:
    def set_variants(self, text: str) -> None: ...

class ArrayTrace:
    def __init__(self, records: np.ndarray, name: str) -> None: ...
    def __len__(self) -> int: ...
    @property
    def records(self) -> np.ndarray: ...
    @property
    def name(self) -> str: ...

def config_of_file(file: str, sets: list[str], search_dirs: list[str]) -> Config: ...
def config_of_trace(files: list[str], sets: list[str], search_dirs: list[str]) -> Config: ...
def config_of_text(text: str, sets: list[str], search_dirs: list[str]) -> Config: ...
def run(
    config: Config,
    trace: ArrayTrace | None,
    *,
    variants: list[str],
    search_dirs: list[str],
    jobs: int,
    check: bool,
    one_event_per_step: bool,
    out: str,
    why: list[int],
) -> dict[str, object]: ...
