"""How fast modelzoo is, as ratios against others in the same run: one command for each question.

    pip install -e '.[benchmarks]'
    python -m benchmarks.inference     # images/s of our runtimes and of others, on the same weights
    python -m benchmarks.cold          # whole processes, from their start to the top five; load(); import
    python -m benchmarks.convert       # from the upstream's file to ours
    python -m benchmarks.bulk          # folders of images
    python -m benchmarks.precision     # what bf16 and f16 change in answers, on real images and weights
    python -m benchmarks.finetune      # a fine-tuning's input and step; Keras' guide to it beside ours
    python -m benchmarks.against DIR   # cold starts, load() and folders, beside another checkout of modelzoo
    python -m benchmarks.report        # docs/benchmarks.md and its plot, from what these wrote

Each takes `--json FILE`, and prints what the report will say. Runs take turns, so that other programs on the
machine disturb all of them alike; a ratio is that of one round, and its median is shown with the range.
"""
