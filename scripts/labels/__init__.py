"""The builder of modelzoo/labels/*.tsv."""
