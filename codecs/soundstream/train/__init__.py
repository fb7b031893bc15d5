"""Training SoundStream on any folders of audio; `bench train soundstream` is the way in.

data.py        folders -> cached arrays -> batches, a pure function of (seed, step)
presets.py     what is trained for how long: phases, losses, rates
trainer.py     the loop
checkpoint.py  the whole state in small files, replaced atomically
validate.py    scores on held-out clips while training
manifest.py    what was trained on
"""
