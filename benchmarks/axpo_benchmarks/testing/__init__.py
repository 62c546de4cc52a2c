"""Made-up rows in the published layouts of the benchmarks, for tests, examples and measurements."""

from axpo_benchmarks.testing.layouts import (
    dynamath_row,
    held_image,
    hr_bench_rows,
    hr_mmsearch_row,
    math_vr_row,
    mathvision_row,
    mmsearch_rerank_row,
    mmsearch_row,
    mmsearch_summary_row,
    picture,
    v_star_row,
    visual_probe_row,
    write_layouts,
    write_parquet,
    write_tsv,
    write_visual_probe,
)

__all__ = [
    "dynamath_row",
    "held_image",
    "hr_bench_rows",
    "hr_mmsearch_row",
    "math_vr_row",
    "mathvision_row",
    "mmsearch_rerank_row",
    "mmsearch_row",
    "mmsearch_summary_row",
    "picture",
    "v_star_row",
    "visual_probe_row",
    "write_layouts",
    "write_parquet",
    "write_tsv",
    "write_visual_probe",
]
