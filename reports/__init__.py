"""Reports of a run: tables, plots, a page, a summary for the terminal. They read the store and nothing else.

frame.py      the run as pandas tables: one row a result, one row an operating point
codebooks.py  token statistics: a table of stages, columns of the summary, text
times.py      columns of the summary for speed, CPU and GPU apart
cells.py      lines and cells of the summary table as text
view.py       the same as sections for people: status, tables, failures, checks
numbers.py    how numbers are written
failures.py   what failed and why
styles.py     colour, marker and dash of each curve
plots.py      rate-quality curves as PNG and SVG
charts.py     the data of the page's charts
analysis.py   what the page says beyond means: curves, BD-rate, ranking, matches
verdict.py    the same as sentences
panels.py     the same as tables of text
listeners.py  what a listening test of the run said
page.py       index.html, from templates/ and static/
clips.py      which clips one should hear first
audio.py      their audio, packed for the page
manifest.py   what can be heard there, as the player reads it
markdown.py   summary.md
terminal.py   the summary that ends a run
write.py      all files of the run folder
grouping.py   which runs may be compared with each other
merge.py      those as one run
pages.py      the page of one or several runs, anywhere
leaderboard.py  several runs ranked on one page
"""
