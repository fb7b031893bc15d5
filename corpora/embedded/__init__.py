"""The clips that ship with codecbench: FLAC files, their manifests and their licences (`LICENCES.md`)."""
